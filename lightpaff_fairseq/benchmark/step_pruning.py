"""Pruning variants of an update: masking at every update, choosing units at every tenth."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fairseq.trainer import Trainer

from ..timing import median_ratio

MASKED, CHOOSING = "masked", "choosing"
INTERVAL, UPDATES = 10, 1000


def prune_flags(task: str, ratio: float) -> str:
    """Return fairseq-train's flags for the prunable task of `task`."""
    return (
        f"--task prunable_{task} --prune-target-width {ratio} --prune-interval {INTERVAL} "
        f"--max-update {UPDATES}"
    )


def pruning_variants(
    trainer: Trainer, update: Callable[[Trainer], Any]
) -> Mapping[str, Callable[[], Any]]:
    """Return an update that only masks, and one that also scores and chooses, in mid-schedule.

    Args:
        trainer: of a prunable task; `update`: makes one update with it.
    """
    half = UPDATES // 2  # the schedule ends at 0.7: most of the target is pruned

    def at(number: int) -> Any:
        trainer.set_num_updates(number - 1)
        return update(trainer)

    at(half)
    return {MASKED: partial(at, half + 1), CHOOSING: partial(at, half)}


def pruned_ratio(times: Mapping[str, list[float]], reference: str) -> float:
    """Return the median over rounds of the average update of an interval / `reference`."""
    pairs = zip(times[MASKED], times[CHOOSING], strict=True)
    average = [((INTERVAL - 1) * masked + choosing) / INTERVAL for masked, choosing in pairs]
    return median_ratio(average, times[reference])
