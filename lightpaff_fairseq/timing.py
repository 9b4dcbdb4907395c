"""Time variants in turn, since machines change speed: only runs close in time are comparable."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Variants = Mapping[str, Callable[[], Any]]

# cpu: CPU time of this process, which other jobs on the machine do not change
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def interleaved_times(
    variants: Variants, repeats: int, warmups: int = 1, clock: str = "wall"
) -> dict[str, list[float]]:
    """Time every variant once per round; the order rotates from round to round.

    Args:
        variants: name -> function to time.
        repeats: timed rounds, >= 1.
        warmups: rounds before these that are not counted.
        clock: one of `CLOCKS`.
    Returns:
        name -> `repeats` times in seconds, in the order of `variants`.
    Raises:
        ValueError: `repeats` < 1.
    """
    if repeats < 1:
        raise ValueError(f"--repeats {repeats}: expected 1 or more")
    names = list(variants)
    times: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(-warmups, repeats):
        shift = round_ % len(names)
        for name in names[shift:] + names[:shift]:
            seconds = _seconds(variants[name], CLOCKS[clock])
            if round_ >= 0:
                times[name].append(seconds)
    return times


def _seconds(run: Callable[[], Any], clock: Callable[[], float]) -> float:
    _synchronize()
    start = clock()
    run()
    _synchronize()
    return clock() - start


def _synchronize() -> None:
    """Wait for the GPU, if this process has used one."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()


def median_ratio(times: list[float], reference: list[float]) -> float:
    """Return the median over rounds of time / reference time of the same round."""
    return statistics.median(t / r for t, r in zip(times, reference, strict=True))
