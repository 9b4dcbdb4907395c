"""Weights as functions of the update number, temperatures as functions of the logits.

Neither has state that a resumed run would have to restore.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .dense import at_least_float32

# Share of the full weight at a progress from 0 to 1; cosine falls from 1 to 0.
WEIGHT_SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear_growth": lambda progress: progress,
    "linear_decay": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}

TEMPERATURE_SCHEDULES = ("constant", "flsw", "cwsm")
COLDEST = 0.1  # lowest dynamic temperature, as a share of the base


@dataclass(frozen=True)
class WeightSchedule:
    """A weight that changes over the first updates of a run and then stays.

    Attributes:
        weight: the full weight (of a term, or lambda).
        name: key of `WEIGHT_SCHEDULES`.
        updates: number of updates that the change takes; not used by `constant`.
    """

    weight: float
    name: str = "constant"
    updates: int = 0

    def __call__(self, update: int) -> float:
        """Return the weight at an update, counted from 0.

        Update 0 has progress 0 and update `updates`, like all after it, progress 1.
        """
        progress = min(update / self.updates, 1.0) if self.updates else 0.0
        return self.weight * WEIGHT_SCHEDULES[self.name](progress)


def check_weight_schedule(schedule: WeightSchedule, flag: str, updates_flag: str) -> None:
    """Refuse a schedule that is unknown or has no length.

    Args:
        flag, updates_flag: flags of the schedule's name and of its number of updates.
    Raises:
        ValueError: names the flag, the expected and the actual value.
    """
    check_name(schedule.name, WEIGHT_SCHEDULES, flag)
    if schedule.name != "constant" and schedule.updates < 1:
        raise ValueError(
            f"{updates_flag} {schedule.updates}: expected 1 or more, for {flag} {schedule.name}"
        )


def check_name(name: str, known: Mapping[str, object] | tuple[str, ...], flag: str) -> None:
    """Raise ValueError if `name` is not one of the known names."""
    if name not in known:
        raise ValueError(f"{flag}: expected one of {', '.join(known)}, got {name!r}")


def flsw_hardness(logits_s: Tensor, logits_t: Tensor, gamma: float) -> Tensor:
    """Return (1 - cos(student logits, teacher logits)) ** gamma: large where the two disagree.

    "Focal-loss-style weights". Without gradient, for `dynamic_temperature`.

    Args:
        logits_s, logits_t: `(..., V)`, any float dtype; computed in fp32.
        gamma: above 0; the larger, the more only the hardest positions count.
    Returns:
        `(...)`, from 0 to 2 ** gamma; a position of zero logits counts as orthogonal.
    Source: arXiv 1911.07471, in the form of TextBrewer's temperature scheduler `flsw`.
    """
    s, t = (at_least_float32(x.detach()) for x in (logits_s, logits_t))
    cosine = torch.nn.functional.cosine_similarity(s, t, dim=-1)
    return (1.0 - cosine).clamp_min(0.0) ** gamma


def cwsm_hardness(logits_s: Tensor) -> Tensor:
    """Return 1 / (largest probability of the student + 0.001): large where it is unsure.

    "Confidence weighted by student max". Without gradient, for `dynamic_temperature`.

    Args:
        logits_s: `(..., V)`, any float dtype; computed in fp32.
    Returns:
        `(...)`, from 0.999 (sure) to at most V (undecided).
    Source: arXiv 1911.07471, in the form of TextBrewer's temperature scheduler `cwsm`.
    """
    largest = at_least_float32(logits_s.detach()).softmax(-1).amax(-1)
    return 1.0 / (largest + 1e-3)


def dynamic_temperature(hardness: Tensor, base: float, beta: float) -> Tensor:
    """Return base + beta * (mean hardness - hardness): sharper where harder than average.

    Args:
        hardness: `(N,)`, of all positions of a batch, over which the mean is taken: the only value
            that depends on how positions are batched.
        base: the temperature of an average position; the mean over the batch, unless limited.
        beta: strength; 0 gives the constant temperature `base`.
    Returns:
        `(N,)`, at least `COLDEST * base`. This limit is an addition: without it, as in the sources,
        a temperature may become negative.
    Source: arXiv 1911.07471, in the form of TextBrewer's temperature schedulers.
    """
    return (base + beta * (hardness.mean() - hardness)).clamp_min(COLDEST * base)


@dataclass(frozen=True)
class TemperatureSchedule:
    """A temperature that is the same everywhere, or lower where a position is harder.

    Attributes:
        name: one of `TEMPERATURE_SCHEDULES`.
        base, beta: see `dynamic_temperature`.
        gamma: see `flsw_hardness`.
    """

    name: str
    base: float
    beta: float
    gamma: float

    def __call__(self, logits_s: Tensor, logits_t: Tensor) -> float | Tensor:
        """Return `base`, or `(N,)` temperatures for the `(N, V)` logits of a whole batch."""
        if self.name == "constant":
            return self.base
        if self.name == "flsw":
            hardness = flsw_hardness(logits_s, logits_t, self.gamma)
        else:
            hardness = cwsm_hardness(logits_s)
        return dynamic_temperature(hardness, self.base, self.beta)
