"""`lightpaff benchmark cache`: the time to build and to read a teacher's cache."""

import argparse
import logging
from dataclasses import asdict, dataclass

from ..benchmark.benchmark_run import Run, describe
from ..benchmark.benchmark_tables import cache_table
from ..benchmark.cache_benchmark import benchmark_cache
from ..benchmark.large_cache import LargeCacheFlags, benchmark_large_cache
from ..benchmark.step_models import FAMILIES
from ..benchmark.step_sizes import StepProblem, UpdateProblem
from ..flags import add_flags, flag, parse_flags, range_problems
from ..problems import Problems


@dataclass(frozen=True)
class TimedUpdate(UpdateProblem):
    """The update that a cache is timed with; none with --positions."""

    family: str = flag(
        "kind of model (needed without --positions)",
        "",
        choices=tuple(FAMILIES),
        may_be_empty=True,
    )


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the measurement to its parser."""
    parser.description = (
        "On one batch of random text, time building a cache (forward pass, top-k, writing to disk) "
        "against the teacher's forward pass alone, and reading it against a plain update; print "
        "the bytes per position."
    )
    add_flags(parser, LargeCacheFlags)
    add_flags(parser, TimedUpdate)
    add_flags(parser, Run)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and write the JSON file.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    settings = parse_flags(args, Run)
    update = parse_flags(args, TimedUpdate)
    large = parse_flags(args, LargeCacheFlags)
    problems = Problems([*range_problems(large), *range_problems(settings)])
    expected = f"one of {', '.join(FAMILIES)}, or --positions"
    problems.unless(bool(update.family or large.positions), f"--family: expected {expected}")
    if large.positions is None:
        problems.extend(update.problems())
    problems.raise_if_any()
    settings.start()
    if large.positions is not None:
        figures = benchmark_large_cache(int(large.positions))
        print(figures.table())
        settings.write(asdict(figures))
        return 0
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    problem = StepProblem(**asdict(update.with_models()))
    result = benchmark_cache(problem, settings.repeats)
    report = {**describe(problem), **asdict(result)}
    print(cache_table(report, result))
    settings.write(report)
    return 0
