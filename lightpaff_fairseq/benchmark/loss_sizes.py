"""The sizes of a loss that is measured, and inputs of these sizes."""

from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..losses.dense import LossSettings
from ..losses.divergences import DIVERGENCES, Divergence
from ..losses.model_output import LinearOutput
from ..losses.top_k import TopKOutput
from ..teachers.cache.layout import TOP_K, Layout

DTYPES = ("float32", "float64", "bfloat16", "float16")


@dataclass(frozen=True)
class LossProblem:
    """Sizes of one loss: N positions, V symbols, widths of student and teacher.

    Attributes:
        topk: symbols a position of the variant `cached`; below `vocab`.
        divergence, beta: as --kd-divergence and --kd-beta.
        clock: one of `timing.CLOCKS`.
    """

    tokens: int
    vocab: int
    student_dim: int
    teacher_dim: int
    chunk_tokens: int
    topk: int
    dtype: str
    device: str
    divergence: str
    beta: float
    clock: str = "wall"


def check_sizes(problem: LossProblem) -> None:
    """Checks the command line.

    Raises:
        ValueError: names all sizes below 1, an unknown dtype, or a device that is not there.
    """
    wrong = [
        f"--{name.replace('_', '-')}: expected 1 or more, found {value}"
        for name, value in asdict(problem).items()
        if isinstance(value, int) and value < 1
    ]
    if problem.topk >= problem.vocab:
        wrong.append(f"--topk: expected less than --vocab {problem.vocab}, found {problem.topk}")
    if problem.divergence not in DIVERGENCES:
        known = ", ".join(DIVERGENCES)
        wrong.append(f"--divergence: expected one of {known}, found {problem.divergence!r}")
    if not 0 <= problem.beta <= 1:
        wrong.append(f"--beta: expected 0 to 1, found {problem.beta}")
    if problem.dtype not in DTYPES:
        wrong.append(f"--dtype: expected one of {', '.join(DTYPES)}, found {problem.dtype!r}")
    if problem.device == "cuda" and not torch.cuda.is_available():
        wrong.append("--device cuda: PyTorch finds no GPU here")
    if wrong:
        raise ValueError("; ".join(wrong))


@dataclass(frozen=True)
class Inputs:
    """Random states and heads of both models, the student's with gradients; labels `(N,)`."""

    student: LinearOutput
    teacher: LinearOutput
    target: Tensor
    settings: LossSettings
    topk: int

    def cached(self) -> TopKOutput:
        """The teacher's top-k, as it comes from a cache."""
        vocab = self.teacher.vocab_size
        layout = Layout(TOP_K, vocab, self.topk, 1.0)
        step = self.settings.chunk_tokens
        starts = range(0, len(self.target), step)
        parts = [layout.encode(self.teacher.logits(slice(a, a + step))) for a in starts]
        ids, lprobs = layout.decode(np.concatenate(parts))
        return TopKOutput(ids.to(self.target.device), lprobs.to(self.target.device), vocab)


def make_inputs(problem: LossProblem) -> Inputs:
    """Seeded random inputs on the problem's device; logits have a standard deviation of about 1."""
    device, dtype = torch.device(problem.device), getattr(torch, problem.dtype)
    generator = torch.Generator(device).manual_seed(1)
    normal = partial(torch.randn, generator=generator, device=device)

    def readout(width: int) -> LinearOutput:
        hidden = normal(problem.tokens, width).to(dtype)
        return LinearOutput(hidden, normal(problem.vocab, width).mul_(width**-0.5).to(dtype))

    student, teacher = readout(problem.student_dim), readout(problem.teacher_dim)
    student.hidden.requires_grad_()
    student.weight.requires_grad_()
    target = torch.randint(problem.vocab, (problem.tokens,), generator=generator, device=device)
    settings = LossSettings(
        kd_lambda=0.5,
        chunk_tokens=min(problem.chunk_tokens, problem.tokens),
        divergence=Divergence(problem.divergence, problem.beta),
        accuracy=False,
    )
    return Inputs(student, teacher, target, settings, problem.topk)
