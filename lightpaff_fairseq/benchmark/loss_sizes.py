"""Sizes of the loss to time, and random inputs of these sizes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..flags import Range, at_least, flag
from ..losses.dense import LossSettings
from ..losses.divergences import DIVERGENCES, Divergence
from ..losses.model_output import LinearOutput
from ..losses.sampled import SampledOutput
from ..losses.top_k import TopKOutput
from ..problems import Problems
from ..teachers.cache.draws import decode_samples, uniform_numbers
from ..teachers.cache.layout import DRAWS, TOP_K, Layout, draw_from
from .benchmark_run import TimedDeviceFlags

DTYPES = ("float32", "float64", "bfloat16", "float16")
SIZES = ("tokens", "vocab", "student_dim", "teacher_dim", "chunk_tokens", "topk")


@dataclass(frozen=True, kw_only=True)
class LossProblem(TimedDeviceFlags):
    """Sizes of one loss, its divergence, and the device."""

    tokens: int = flag(
        "number of positions (default: %(default)s)", 2048, metavar="N", expected=at_least(1)
    )
    vocab: int = flag(
        "size of the vocabulary (default: %(default)s)", 32000, metavar="N", expected=at_least(1)
    )
    student_dim: int = flag(
        "width of the student's last layer (default: %(default)s)",
        512,
        metavar="N",
        expected=at_least(1),
    )
    teacher_dim: int = flag(
        "width of the teacher's last layer (default: %(default)s)",
        1024,
        metavar="N",
        expected=at_least(1),
    )
    chunk_tokens: int = flag(
        "positions per chunk, as --kd-chunk-tokens (default: %(default)s)",
        512,
        metavar="N",
        expected=at_least(1),
    )
    topk: int = flag(
        "tokens per position of the cached teacher (default: %(default)s)",
        32,
        metavar="N",
        expected=at_least(1),
    )
    draws: int = flag(
        "draws per position of the variant `sampled`, as cache-teacher --sample (default: "
        "%(default)s)",
        50,
        metavar="N",
        expected=at_least(1),
    )
    select: float = flag(
        "share of the positions in the variant `selected`, as --kd-select student_entropy:SHARE "
        "(default: %(default)s)",
        0.2,
        metavar="SHARE",
        expected=Range("a share above 0, up to 1", 0, 1, is_open=True),
    )
    dtype: str = flag(
        "dtype of hidden states and heads (default: %(default)s)", DTYPES[0], choices=DTYPES
    )
    divergence: str = flag("as --kd-divergence (default: %(default)s)", "forward_kl")
    beta: float = flag("as --kd-beta (default: %(default)s)", 0.5, expected=Range("0 to 1", 0, 1))
    skew: float = flag(
        "as --kd-skew (default: %(default)s)", 0.1, expected=Range("0 up to 0.999999", 0, 1 - 1e-6)
    )

    def problems(self) -> Problems:
        """Return the problems with the flags."""
        problems = super().problems()
        problems.unless(
            self.topk < self.vocab, f"--topk {self.topk}: expected less than --vocab {self.vocab}"
        )
        problems.unless(
            self.divergence in DIVERGENCES,
            f"--divergence {self.divergence}: expected one of {', '.join(DIVERGENCES)}",
        )
        return problems


@dataclass(frozen=True)
class Inputs:
    """Random hidden states and heads, the student's with gradients; labels `(N,)`."""

    student: LinearOutput
    teacher: LinearOutput
    target: Tensor
    settings: LossSettings
    topk: int
    select: float
    draws: int

    def cached(self) -> Callable[[], TopKOutput]:
        """Encode the teacher's top-k output as in a cache; return what decodes it."""
        vocab, device = self.teacher.vocab_size, self.target.device
        layout = Layout(TOP_K, vocab, self.topk, 1.0)
        step = self.settings.chunk_tokens
        starts = range(0, len(self.target), step)
        parts = [layout.encode(self.teacher.logits(slice(a, a + step))) for a in starts]
        records = np.concatenate(parts)

        def decode() -> TopKOutput:
            ids, lprobs = layout.decode(records)
            return TopKOutput(ids.to(device), lprobs.to(device), vocab)

        return decode

    def sampled(self) -> Callable[[], SampledOutput]:
        """Encode draws from the teacher as in a cache; return what decodes them."""
        vocab, device, counts = self.teacher.vocab_size, self.target.device, [len(self.target)]
        layout = Layout(DRAWS, vocab, self.draws, 1.0)
        numbers = uniform_numbers(1, 1, [0], counts, self.draws)
        entries, lengths = draw_from(self.teacher, numbers, counts, layout)

        def decode() -> SampledOutput:
            ids, shares, _ = decode_samples(entries, np.array(lengths), vocab, self.draws)
            return SampledOutput(ids.to(device), shares.to(device), vocab)

        return decode

    def gradients(self, loss: Tensor) -> list[Tensor]:
        """Return `[loss, gradient of the hidden states, gradient of the head]`."""
        leaves = [self.student.hidden, self.student.weight]
        return [loss.detach(), *torch.autograd.grad(loss, leaves)]


def make_inputs(problem: LossProblem) -> Inputs:
    """Make seeded random inputs whose logits have a standard deviation of about 1."""
    device, dtype = torch.device(problem.device), getattr(torch, problem.dtype)
    generator = torch.Generator(device).manual_seed(1)
    normal = partial(torch.randn, generator=generator, device=device)

    def linear_output(width: int) -> LinearOutput:
        hidden = normal(problem.tokens, width).to(dtype)
        return LinearOutput(hidden, normal(problem.vocab, width).mul_(width**-0.5).to(dtype))

    student, teacher = linear_output(problem.student_dim), linear_output(problem.teacher_dim)
    student.hidden.requires_grad_()
    student.weight.requires_grad_()
    target = torch.randint(problem.vocab, (problem.tokens,), generator=generator, device=device)
    settings = LossSettings(
        kd_lambda=0.5,
        chunk_tokens=min(problem.chunk_tokens, problem.tokens),
        divergence=Divergence(problem.divergence, problem.beta, problem.skew),
        accuracy=False,
    )
    return Inputs(student, teacher, target, settings, problem.topk, problem.select, problem.draws)
