"""Measure the peak memory of the updates of `step_benchmark` on a CPU."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..megabytes import MEGABYTE
from .peak_memory import peak_extra_bytes
from .step_benchmark import Bench
from .step_sizes import StepProblem


def step_memory(problem: StepProblem, names: Iterable[str]) -> dict[str, float | None]:
    """Return the peak MB of a first update on top of the models and the batch, by variant.

    Gradients and Adam's state, the same for every variant, are included. None if unknown.
    """
    peaks = {n: peak_extra_bytes(first_run, problem, n, "cpu") for n in names}
    return {name: None if peak is None else peak / MEGABYTE for name, peak in peaks.items()}


def first_run(problem: StepProblem, name: str, small: bool) -> Callable[[], Any]:
    """Set up a variant that has not run yet (a `peak_memory.Factory`)."""
    if small:
        problem = replace(problem, sentences=1, length=2)
    folder = TemporaryDirectory()
    run = Bench(problem, Path(folder.name)).variants()[name]

    def first() -> Any:
        with folder:  # the cache is read from it
            return run()

    return first
