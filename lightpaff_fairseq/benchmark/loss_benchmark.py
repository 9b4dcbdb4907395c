"""`lightpaff benchmark loss`: the distillation loss against its matrix products, and its peers.

All variants compute the same loss, without label smoothing: half the labels' cross entropy, half
the divergence; loss and gradients of hidden states and head.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..losses.dense import LossTerms, dense_distillation_loss
from ..losses.fused import fused_distillation_loss
from .loss_peers import PEERS, Problem, check_peers
from .loss_sizes import Inputs, LossProblem, check_sizes, make_inputs
from .peak_memory import peak_extra_bytes
from .timing import interleaved_times, median_ratio

FLOOR = "floor"
COMPILED = "fused-compiled"
COMPILING = (COMPILED, "liger-compiled")
SMALL = 8  # sizes of the run that only loads code before memory is measured
MEGABYTE = 2**20


@dataclass(frozen=True)
class Row:
    """One variant: medians of seconds and of the ratio to the floor, and peak extra memory."""

    name: str
    seconds: float
    ratio_to_floor: float
    extra_mb: float | None
    all_seconds: list[float]


def fused(inputs: Inputs) -> list[Tensor]:
    """Our loss chunk by chunk, forward and backward; `[loss, grad_hidden, grad_weight]`."""
    terms = fused_distillation_loss(inputs.student, inputs.teacher, inputs.target, inputs.settings)
    return _with_gradients(inputs, terms)


def dense(inputs: Inputs) -> list[Tensor]:
    """Our loss from complete logits, forward and backward; `[loss, grad_hidden, grad_weight]`."""
    logits_s, logits_t = inputs.student.logits(), inputs.teacher.logits()
    terms = dense_distillation_loss(logits_s, logits_t, inputs.target, inputs.settings)
    return _with_gradients(inputs, terms)


def fused_compiled(inputs: Inputs) -> list[Tensor]:
    """As `fused`, its chunks through torch.compile."""
    return fused(replace(inputs, settings=replace(inputs.settings, compiled=True)))


class Cached:
    """Our loss from a top-k cache, its records decoded beforehand; as `fused` otherwise."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs, self.teacher = inputs, inputs.cached()

    def __call__(self) -> list[Tensor]:
        x = self.inputs
        return _with_gradients(
            x, fused_distillation_loss(x.student, self.teacher, x.target, x.settings)
        )


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


def _peer(name: str) -> Callable[[Inputs], Callable[[], Any]]:
    """A peer's loss, set up for inputs."""

    def make(inputs: Inputs) -> Callable[[], Any]:
        settings = inputs.settings
        student, teacher = inputs.student, inputs.teacher
        problem = Problem(
            student.hidden,
            student.weight,
            teacher.hidden,
            teacher.weight,
            inputs.target,
            settings.chunk_tokens,
            settings.divergence,
        )
        return PEERS[name].make(problem)

    return make


# name -> what sets up a computation for inputs
VARIANTS: dict[str, Callable[[Inputs], Callable[[], Any]]] = {
    FLOOR: Floor,
    "fused": lambda inputs: partial(fused, inputs),
    "cached": Cached,
    "dense": lambda inputs: partial(dense, inputs),
    COMPILED: lambda inputs: partial(fused_compiled, inputs),
    **{name: _peer(name) for name in PEERS},
}
OPTIONAL = (COMPILED, *PEERS)
OWN = tuple(name for name in VARIANTS if name not in OPTIONAL)


def memory_run(problem: LossProblem, name: str, small: bool) -> Callable[[], Any]:
    """A `memory.Factory`: one variant, with its inputs made; of the floor, its buffers count.

    What compiles has done so for these sizes, or the compiler's memory would count.
    """
    if small:
        sizes = dict.fromkeys(("tokens", "vocab", "student_dim", "teacher_dim"), SMALL)
        problem = LossProblem(**{**asdict(problem), **sizes, "topk": SMALL // 2})
    inputs = make_inputs(problem)
    if name == FLOOR:
        return lambda: Floor(inputs)()
    run = VARIANTS[name](inputs)
    if name in COMPILING:
        run()
    return run


def check_agreement(inputs: Inputs, peers: Sequence[str] = ()) -> dict[str, float]:
    """Relative differences (2-norm) of gradients from those of the dense loss; and of our losses.

    A peer may leave out the teacher's entropy, a constant: only its gradients are compared.

    Raises:
        ValueError: beyond what the dtype explains; timing a wrong result would be pointless.
    """
    exact = inputs.student.hidden.dtype in (torch.float32, torch.float64)
    tolerance = 1e-4 if exact else 5e-2
    names = ("loss", "grad_hidden", "grad_weight")
    reference = dict(zip(names, dense(inputs), strict=True))
    found = {}
    for variant in ("fused", *peers):
        results = dict(zip(names, VARIANTS[variant](inputs)(), strict=True))
        if variant in PEERS:
            del results["loss"]
        for name, result in results.items():
            want = reference[name].double()
            found[f"{variant} {name}"] = ((result.double() - want).norm() / want.norm()).item()
    if not all(gap <= tolerance for gap in found.values()):
        raise ValueError(f"a loss disagrees with the dense one (relative differences): {found}")
    return found


def benchmark_loss(
    problem: LossProblem, repeats: int, peers: Sequence[str] = ()
) -> tuple[list[Row], dict[str, float]]:
    """Measures all variants in one run, interleaved.

    Args:
        problem: sizes, dtype and device.
        repeats: rounds of timing, >= 1.
        peers: which of `OPTIONAL` run along.
    Returns:
        a row for each of floor, fused, cached, dense and the peers; and what `check_agreement`
        found.
    Raises:
        ValueError: see `check_sizes`, `check_agreement` and `check_peers`.
    """
    check_sizes(problem)
    inputs = make_inputs(problem)
    check_peers([name for name in peers if name in PEERS], inputs.settings.divergence)
    names = [*OWN, *peers]
    extra = {name: peak_extra_bytes(memory_run, problem, name, problem.device) for name in names}
    agreement = check_agreement(inputs, peers)
    runs = {name: VARIANTS[name](inputs) for name in names}
    times = interleaved_times(runs, repeats, clock=problem.clock)
    rows = []
    for name, seconds in times.items():
        size, ratio = extra[name], median_ratio(seconds, times[FLOOR])
        megabytes = None if size is None else size / MEGABYTE
        rows.append(Row(name, statistics.median(seconds), ratio, megabytes, seconds))
    return rows, agreement
