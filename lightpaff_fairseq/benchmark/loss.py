"""`lightpaff benchmark loss`: the fused distillation loss against its matrix products alone."""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Optional

import torch
from torch import Tensor

from ..distill.fused import fused_distillation_loss
from ..distill.losses import LossSettings, LossTerms, dense_distillation_loss
from ..distill.readout import LinearReadout
from .memory import peak_extra_bytes
from .timing import interleaved_times, median_ratio

FLOOR = "floor"
SMALL = 8  # sizes of the run that only loads code before memory is measured
MEGABYTE = 2**20
DTYPES = ("float32", "float64", "bfloat16", "float16")


@dataclass(frozen=True)
class LossProblem:
    """Sizes of one loss: N positions, V symbols, widths of student and teacher."""

    tokens: int
    vocab: int
    student_dim: int
    teacher_dim: int
    chunk_tokens: int
    dtype: str
    device: str


@dataclass(frozen=True)
class Inputs:
    """Random states and heads of both models, the student's with gradients; labels `(N,)`."""

    student: LinearReadout
    teacher: LinearReadout
    target: Tensor
    settings: LossSettings


@dataclass(frozen=True)
class Row:
    """One variant: medians of seconds and of the ratio to the floor, and peak extra memory."""

    name: str
    seconds: float
    ratio_to_floor: float
    extra_mb: Optional[float]
    all_seconds: list[float]


def make_inputs(problem: LossProblem) -> Inputs:
    """Seeded random inputs on the problem's device; logits have a standard deviation of about 1."""
    device, dtype = torch.device(problem.device), getattr(torch, problem.dtype)
    generator = torch.Generator(device).manual_seed(1)
    normal = partial(torch.randn, generator=generator, device=device)

    def readout(width: int) -> LinearReadout:
        hidden = normal(problem.tokens, width).to(dtype)
        return LinearReadout(hidden, normal(problem.vocab, width).mul_(width**-0.5).to(dtype))

    student, teacher = readout(problem.student_dim), readout(problem.teacher_dim)
    student.hidden.requires_grad_()
    student.weight.requires_grad_()
    target = torch.randint(problem.vocab, (problem.tokens,), generator=generator, device=device)
    settings = LossSettings(
        kd_lambda=0.5, label_smoothing=0.1, chunk_tokens=min(problem.chunk_tokens, problem.tokens)
    )
    return Inputs(student, teacher, target, settings)


def fused(inputs: Inputs) -> list[Tensor]:
    """Our loss chunk by chunk, forward and backward; `[loss, grad_hidden, grad_weight]`."""
    terms = fused_distillation_loss(inputs.student, inputs.teacher, inputs.target, inputs.settings)
    return _with_gradients(inputs, terms)


def dense(inputs: Inputs) -> list[Tensor]:
    """Our loss from complete logits, forward and backward; `[loss, grad_hidden, grad_weight]`."""
    logits_s, logits_t = inputs.student.logits(), inputs.teacher.logits()
    terms = dense_distillation_loss(logits_s, logits_t, inputs.target, inputs.settings)
    return _with_gradients(inputs, terms)


def _with_gradients(inputs: Inputs, terms: LossTerms) -> list[Tensor]:
    student = inputs.student
    return [terms.loss.detach(), *torch.autograd.grad(terms.loss, [student.hidden, student.weight])]


class Floor:
    """The matrix products that no exact loss can avoid, in chunks, into buffers made beforehand.

    Both heads' logits, and the gradients of hidden states and head from a gradient of the logits
    (the logits themselves stand in for it). With a teacher twice as wide as the student this is
    five products of the student's size.
    """

    def __init__(self, inputs: Inputs) -> None:
        student, teacher = inputs.student, inputs.teacher
        self.chunk = inputs.settings.chunk_tokens
        self.hidden_s, self.weight_s = student.hidden.detach(), student.weight.detach()
        self.hidden_t, self.weight_t = teacher.hidden, teacher.weight
        shape = (self.chunk, student.vocab_size)
        self.logits_s, self.logits_t = (
            self.hidden_s.new_empty(shape),
            self.hidden_t.new_empty(shape),
        )
        self.grad_hidden = torch.empty_like(self.hidden_s)
        self.grad_weight = torch.zeros_like(self.weight_s)

    def __call__(self) -> None:
        for start in range(0, len(self.hidden_s), self.chunk):
            rows = slice(start, start + self.chunk)
            hidden = self.hidden_s[rows]
            grad, logits_t = self.logits_s[: len(hidden)], self.logits_t[: len(hidden)]
            torch.mm(hidden, self.weight_s.t(), out=grad)
            torch.mm(self.hidden_t[rows], self.weight_t.t(), out=logits_t)
            torch.mm(grad, self.weight_s, out=self.grad_hidden[rows])
            self.grad_weight.addmm_(grad.t(), hidden, beta=1.0, alpha=1.0 / len(self.hidden_s))


def floor(inputs: Inputs) -> None:
    """The matrix products with their buffers made anew."""
    Floor(inputs)()


VARIANTS: dict[str, Callable[[Inputs], Any]] = {FLOOR: floor, "fused": fused, "dense": dense}


def memory_run(problem: LossProblem, name: str, small: bool) -> Callable[[], Any]:
    """A `memory.Factory`: one variant, with its inputs made."""
    if small:
        sizes = dict.fromkeys(("tokens", "vocab", "student_dim", "teacher_dim"), SMALL)
        problem = LossProblem(**{**asdict(problem), **sizes})
    return partial(VARIANTS[name], make_inputs(problem))


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
    if problem.dtype not in DTYPES:
        wrong.append(f"--dtype: expected one of {', '.join(DTYPES)}, found {problem.dtype!r}")
    if problem.device == "cuda" and not torch.cuda.is_available():
        wrong.append("--device cuda: PyTorch finds no GPU here")
    if wrong:
        raise ValueError("; ".join(wrong))


def check_agreement(inputs: Inputs) -> dict[str, float]:
    """Relative differences (2-norm) between fused and dense in loss and gradients.

    Raises:
        ValueError: beyond what the dtype explains; timing a wrong result would be pointless.
    """
    names = ("loss", "grad_hidden", "grad_weight")
    tolerance = 1e-4 if inputs.student.hidden.dtype in (torch.float32, torch.float64) else 5e-2
    found = {}
    for name, ours, reference in zip(names, fused(inputs), dense(inputs), strict=True):
        gap = (ours.double() - reference.double()).norm() / reference.double().norm()
        found[name] = gap.item()
    if not all(gap <= tolerance for gap in found.values()):
        raise ValueError(f"the fused and the dense loss disagree (relative differences): {found}")
    return found


def benchmark_loss(problem: LossProblem, repeats: int) -> tuple[list[Row], dict[str, float]]:
    """Measures all variants in one run, interleaved.

    Args:
        problem: sizes, dtype and device.
        repeats: rounds of timing, >= 1.
    Returns:
        a row for each of floor, fused and dense; and the differences of `check_agreement`.
    Raises:
        ValueError: see `check_sizes` and `check_agreement`.
    """
    check_sizes(problem)
    extra = {name: peak_extra_bytes(memory_run, problem, name, problem.device) for name in VARIANTS}
    inputs = make_inputs(problem)
    agreement = check_agreement(inputs)
    runs = {name: partial(variant, inputs) for name, variant in VARIANTS.items()}
    times = interleaved_times({**runs, FLOOR: Floor(inputs)}, repeats)
    rows = []
    for name, seconds in times.items():
        size, ratio = extra[name], median_ratio(seconds, times[FLOOR])
        megabytes = None if size is None else size / MEGABYTE
        rows.append(Row(name, statistics.median(seconds), ratio, megabytes, seconds))
    return rows, agreement
