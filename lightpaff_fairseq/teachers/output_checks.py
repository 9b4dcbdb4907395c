"""Check whether the teacher causes a NaN or infinite soft loss.

A teacher's logit may be -inf (probability 0), but NaN, +inf and rows of -inf alone are invalid. The
student's logits are not checked: they may overflow, which `--fp16` and `--amp` handle by a smaller
loss scale.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..losses.divergences import Divergence
from ..losses.ensemble import EnsembleOutput
from ..losses.sampled import SPARSE, SoftTargets

ROWS = 256  # positions checked at once
CAUSES = "(a corrupt or diverged model, or --fp16 or --amp where it overflows)"
Rows = Callable[[Tensor], Tensor]  # `(n, V)` -> `(n,)` bool


def output_problem(output: SoftTargets, names: Sequence[str], is_regression: bool) -> str | None:
    """Return a message if a teacher's output is invalid, else None.

    Args:
        output: at N positions.
        names: flag and value of every teacher, one unless `output` is an ensemble.
        is_regression: outputs are values, for which -inf is invalid.
    """
    is_invalid = _not_finite if is_regression else _no_distribution
    members = output.members if isinstance(output, EnsembleOutput) else (output,)
    for name, member in zip(names, members, strict=True):
        invalid, positions = _count(member, is_invalid)
        if invalid:
            expected = "numbers" if is_regression else "logits that are numbers or -inf"
            return (
                f"{name}: expected {expected}, got NaN or infinity at {invalid} of {positions} "
                f"positions {CAUSES}"
            )
    return None


def zero_problem(
    output: SoftTargets,
    names: Sequence[str],
    divergence: Divergence,
    temperature_schedule: str,
) -> str | None:
    """Return why this loss is no number where the teacher gives tokens no probability; or None."""
    if divergence.finite_at_zero and temperature_schedule != "flsw":
        return None
    zeros, positions = _count(output, _has_zero)
    if not zeros:
        return None
    where = (
        f"{' '.join(names)}: some tokens have probability 0 (a logit of -inf) at {zeros} of "
        f"{positions} positions, where"
    )
    if temperature_schedule == "flsw":
        return (
            f"{where} --kd-temperature-schedule flsw has no angle between logits: use cwsm or "
            "constant"
        )
    return (
        f"{where} reverse KL is infinite unless the student excludes them, too: use "
        "--kd-divergence skew_reverse_kl, forward_kl, jsd with a --kd-beta below 1, or tvd"
    )


def _count(output: SoftTargets, test: Rows) -> tuple[int, int]:
    """Return for how many positions a test holds, and their number."""
    count = positions = 0
    with torch.no_grad(), torch.autocast(_device(output), enabled=False):
        if isinstance(output, SPARSE):
            values = output.rows()[1]
            return int(test(values).sum()), len(values)
        while True:
            logits = output.logits(slice(positions, positions + ROWS))
            count, positions = count + int(test(logits).sum()), positions + len(logits)
            if len(logits) < ROWS:
                return count, positions


def _device(output: SoftTargets) -> str:
    if isinstance(output, SPARSE):
        return output.rows()[1].device.type
    return output.logits(slice(0, 0)).device.type


def _not_finite(values: Tensor) -> Tensor:
    return values.isfinite().logical_not().any(-1)


def _no_distribution(logits: Tensor) -> Tensor:
    return logits.amax(-1).isfinite().logical_not()  # amax of a row with a NaN is NaN


def _has_zero(logits: Tensor) -> Tensor:
    return logits.isneginf().any(-1)
