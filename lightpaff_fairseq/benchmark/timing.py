"""Wall-clock times on machines that change speed: only neighbours in time are compared."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Variants = Mapping[str, Callable[[], Any]]


def interleaved_times(variants: Variants, repeats: int, warmups: int = 1) -> dict[str, list[float]]:
    """Times every variant once a round; the order rotates from round to round.

    Args:
        variants: name -> what to time, without arguments; results are dropped at once.
        repeats: rounds that count, >= 1.
        warmups: rounds before them that do not.
    Returns:
        name -> `repeats` wall-clock times in seconds, in the order of `variants`.
    Raises:
        ValueError: `repeats` < 1.
    """
    if repeats < 1:
        raise ValueError(f"--repeats: expected 1 or more, found {repeats}")
    names = list(variants)
    times: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(-warmups, repeats):
        shift = round_ % len(names)
        for name in names[shift:] + names[:shift]:
            seconds = _seconds(variants[name])
            if round_ >= 0:
                times[name].append(seconds)
    return times


def _seconds(run: Callable[[], Any]) -> float:
    _synchronize()
    start = time.perf_counter()
    run()
    _synchronize()
    return time.perf_counter() - start


def _synchronize() -> None:
    """Waits for the GPU, if this process has used one."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def median_ratio(times: list[float], reference: list[float]) -> float:
    """Median over the rounds of time / reference time of the same round."""
    return statistics.median(t / r for t, r in zip(times, reference, strict=True))
