"""`lightpaff benchmark cache`: the time to build and to read a teacher's cache."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..losses.label_positions import LabelPositions
from ..timing import interleaved_times, median_ratio
from .step_benchmark import PLAIN, TEACHER, Bench
from .step_sizes import StepProblem

BUILD, READ = "build", "read"


@dataclass(frozen=True)
class CacheReport:
    """Times in seconds, one per round; ratios are medians over the rounds.

    Attributes:
        build_to_teacher: throughput of building / of the teacher's forward pass alone.
        read_to_plain: time to read a batch / of a plain update with it.
        bytes_a_position: size of the cache / predicted positions, checksums included.
        positions: predicted positions of the batch.
    """

    seconds: dict[str, float]
    all_seconds: dict[str, list[float]]
    build_to_teacher: float
    read_to_plain: float
    bytes_a_position: float
    positions: int


def variants(bench: Bench) -> dict[str, Callable[[], Any]]:
    """Return the functions to time, by name; each takes one batch."""
    distiller, student = bench.cached.get_criterion().distiller, bench.cached.model
    positions = LabelPositions.of(distiller.prediction.label_positions(bench.sample))
    teacher = distiller.teacher
    return {
        PLAIN: partial(bench.update, bench.plain),
        TEACHER: bench.teacher_logits,
        BUILD: bench.cache.build_again,
        READ: partial(teacher.soft_targets, student, bench.sample, positions),
    }


def benchmark_cache(problem: StepProblem, repeats: int) -> CacheReport:
    """Time building and reading, interleaved with the teacher's forward pass and a plain update.

    Args:
        problem: batch and models; repeats: rounds of timing, >= 1.
    Raises:
        ValueError: see `benchmark_step`.
    """
    problem.problems().raise_if_any()
    with TemporaryDirectory() as folder:
        bench = Bench(problem, Path(folder))
        times = interleaved_times(variants(bench), repeats, clock=problem.clock)
        size = sum(path.stat().st_size for path in bench.cache.folder.glob("*.bin"))
        positions = int(bench.positions.sum())
    return CacheReport(
        seconds={name: statistics.median(seconds) for name, seconds in times.items()},
        all_seconds=times,
        build_to_teacher=median_ratio(times[TEACHER], times[BUILD]),
        read_to_plain=median_ratio(times[READ], times[PLAIN]),
        bytes_a_position=size / positions,
        positions=positions,
    )
