"""`lightpaff benchmark loss`: the distillation loss against its matrix products, and its peers.

All variants compute the same loss, without label smoothing: half the cross entropy, half the
divergence. Each returns the loss and its gradients, see `Inputs.gradients`.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..losses.dense import dense_distillation_loss
from ..losses.fused import fused_distillation_loss
from ..losses.kernel_choice import triton_problem
from ..losses.position_selection import Selection
from ..losses.sampled import DIVERGENCES_OF_DRAWS, SampledOutput
from ..losses.top_k import TopKOutput
from ..megabytes import MEGABYTE
from ..timing import interleaved_times, median_ratio
from .loss_peers import PEERS, check_peers
from .loss_sizes import Inputs, LossProblem, make_inputs
from .peak_memory import peak_extra_bytes

FLOOR, SAMPLED = "floor", "sampled"
COMPILED, WITH_TRITON, CACHED_TORCH = "fused-compiled", "fused-triton", "cached-torch"
JSD = "fused-jsd"
COMPILING = (COMPILED, "liger-compiled")
SMALL = 8  # sizes of the warm-up run before memory is measured


@dataclass(frozen=True)
class Row:
    """Medians of one variant's seconds and ratio to the floor, and its peak extra memory."""

    name: str
    seconds: float
    ratio_to_floor: float
    extra_mb: float | None
    all_seconds: list[float]


def fused(inputs: Inputs) -> list[Tensor]:
    """Compute the loss chunk by chunk, forward and backward."""
    terms = fused_distillation_loss(inputs.student, inputs.teacher, inputs.target, inputs.settings)
    return inputs.gradients(terms.loss)


def dense(inputs: Inputs) -> list[Tensor]:
    """Compute the loss from complete logits, forward and backward."""
    logits_s, logits_t = inputs.student.logits(), inputs.teacher.logits()
    terms = dense_distillation_loss(logits_s, logits_t, inputs.target, inputs.settings)
    return inputs.gradients(terms.loss)


def fused_compiled(inputs: Inputs) -> list[Tensor]:
    """Compute `fused` with torch.compile."""
    return fused(replace(inputs, settings=replace(inputs.settings, compiled=True)))


def with_kernel(inputs: Inputs, kernel: str) -> Inputs:
    """Return the inputs for a loss with this --kd-kernel."""
    return replace(inputs, settings=replace(inputs.settings, kernel=kernel))


def with_jsd(inputs: Inputs) -> Inputs:
    """Return the inputs for a loss with --kd-divergence jsd."""
    divergence = replace(inputs.settings.divergence, name="jsd")
    return replace(inputs, settings=replace(inputs.settings, divergence=divergence))


def from_records(inputs: Inputs, decode: Callable[[], TopKOutput | SampledOutput]) -> list[Tensor]:
    """Compute the loss from the records of a cache in memory, which are decoded in every call."""
    terms = fused_distillation_loss(inputs.student, decode(), inputs.target, inputs.settings)
    return inputs.gradients(terms.loss)


class Selected:
    """`fused` with the soft loss at a share of the positions (--select)."""

    def __init__(self, inputs: Inputs) -> None:
        selection = Selection("student_entropy", inputs.select)
        self.inputs = replace(inputs, settings=replace(inputs.settings, selection=selection))

    def __call__(self) -> list[Tensor]:
        return fused(self.inputs)


class Floor:
    """The matrix products that no exact loss can avoid, in chunks, into existing buffers.

    These are both models' logits, and the student's gradients of hidden states and head from a
    gradient of its logits (here the logits themselves). If the teacher is twice as wide, they cost
    as much as five products of the student's size.
    """

    def __init__(self, inputs: Inputs) -> None:
        student, teacher = inputs.student, inputs.teacher
        self.chunk = inputs.settings.chunk_tokens
        self.hidden_s, self.weight_s = student.hidden.detach(), student.weight.detach()
        self.hidden_t, self.weight_t = teacher.hidden, teacher.weight
        shape = (self.chunk, student.vocab_size)
        self.logits_s = self.hidden_s.new_empty(shape)
        self.logits_t = self.hidden_t.new_empty(shape)
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


# Name -> factory of a computation
VARIANTS: dict[str, Callable[[Inputs], Callable[[], Any]]] = {
    FLOOR: Floor,
    "fused": lambda inputs: partial(fused, inputs),
    "selected": Selected,
    "cached": lambda inputs: partial(from_records, inputs, inputs.cached()),
    SAMPLED: lambda inputs: partial(from_records, inputs, inputs.sampled()),
    "dense": lambda inputs: partial(dense, inputs),
    COMPILED: lambda inputs: partial(fused_compiled, inputs),
    "fused-torch": lambda inputs: partial(fused, with_kernel(inputs, "torch")),
    WITH_TRITON: lambda inputs: partial(fused, with_kernel(inputs, "triton")),
    CACHED_TORCH: lambda x: partial(from_records, with_kernel(x, "torch"), x.cached()),
    JSD: lambda inputs: partial(fused, with_jsd(inputs)),
    **{name: peer.make for name, peer in PEERS.items()},
}
OPTIONAL = (COMPILED, "fused-torch", WITH_TRITON, CACHED_TORCH, JSD, *PEERS)
OTHER_LOSSES = (CACHED_TORCH, JSD)  # not that of `dense`
OWN = tuple(name for name in VARIANTS if name not in OPTIONAL)


def memory_run(problem: LossProblem, name: str, small: bool) -> Callable[[], Any]:
    """Set up one variant (a `peak_memory.Factory`).

    The floor's buffers count as memory; the memory of torch.compile does not.
    """
    if small:
        problem = replace(problem, tokens=SMALL, vocab=SMALL, topk=SMALL // 2)
        problem = replace(problem, student_dim=SMALL, teacher_dim=SMALL)
    inputs = make_inputs(problem)
    if name == FLOOR:
        return lambda: Floor(inputs)()
    run = VARIANTS[name](inputs)
    if name in COMPILING:
        run()
    return run


def check_agreement(inputs: Inputs, peers: Sequence[str] = ()) -> dict[str, float]:
    """Return relative differences (2-norm) from the loss and the gradients of the dense variant.

    A peer may leave out the teacher's entropy, a constant: only its gradients are compared.

    Raises:
        ValueError: a difference is larger than rounding explains.
    """
    exact = inputs.student.hidden.dtype in (torch.float32, torch.float64)
    tolerance = 1e-4 if exact else 5e-2
    names = ("loss", "grad_hidden", "grad_weight")
    reference = dict(zip(names, dense(inputs), strict=True))
    differences = {}
    for variant in ("fused", *peers):
        results = dict(zip(names, VARIANTS[variant](inputs)(), strict=True))
        if variant in PEERS:
            del results["loss"]
        for name, result in results.items():
            expected = reference[name].double()
            difference = (result.double() - expected).norm() / expected.norm()
            differences[f"{variant} {name}"] = difference.item()
    if not all(difference <= tolerance for difference in differences.values()):
        raise ValueError(
            f"a loss disagrees with the dense one (relative differences): {differences}"
        )
    return differences


def check(problem: LossProblem, peers: Sequence[str]) -> None:
    """Raise ValueError if a size or a peer cannot be used; lists all problems."""
    problems = problem.problems()
    if WITH_TRITON in peers:
        reason = triton_problem(torch.device(problem.device), getattr(torch, problem.dtype))
        problems.unless(reason is None, f"--peers {WITH_TRITON}: {reason}")
    problems.raise_if_any()


def benchmark_loss(
    problem: LossProblem, repeats: int, peers: Sequence[str] = (), memory: bool = True
) -> tuple[list[Row], dict[str, float]]:
    """Time all variants in one run, interleaved.

    Args:
        problem: sizes, dtype and device.
        repeats: rounds of timing, >= 1.
        peers: names of `OPTIONAL` to add.
        memory: measure peak memory, too.
    Returns:
        one row per variant, and the differences of `check_agreement`.
    Raises:
        ValueError: see `check`, `check_agreement` and `check_peers`.
    """
    check(problem, peers)
    inputs = make_inputs(problem)
    check_peers([name for name in peers if name in PEERS], inputs.settings.divergence)
    serves_draws = inputs.settings.divergence.kind in DIVERGENCES_OF_DRAWS
    names = [name for name in (*OWN, *peers) if serves_draws or name != SAMPLED]
    measured = names if memory else ()
    extra = {n: peak_extra_bytes(memory_run, problem, n, problem.device) for n in measured}
    agreement = check_agreement(inputs, [x for x in peers if x not in OTHER_LOSSES])
    runs = {name: VARIANTS[name](inputs) for name in names}
    times = interleaved_times(runs, repeats, clock=problem.clock)
    rows = []
    for name, seconds in times.items():
        size, ratio = extra.get(name), median_ratio(seconds, times[FLOOR])
        megabytes = None if size is None else size / MEGABYTE
        rows.append(Row(name, statistics.median(seconds), ratio, megabytes, seconds))
    return rows, agreement
