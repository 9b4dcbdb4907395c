"""`lightpaff benchmark cache`: the time to build and to read a teacher's cache."""

import argparse
import logging
from dataclasses import asdict

from ..benchmark.benchmark_run import Run, describe
from ..benchmark.benchmark_tables import cache_table
from ..benchmark.cache_benchmark import benchmark_cache
from ..benchmark.step_sizes import StepProblem, UpdateProblem
from ..flags import add_flags, parse_flags


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the measurement to its parser."""
    parser.description = (
        "On one batch of random text, time building a cache (forward pass, top-k, writing to disk) "
        "against the teacher's forward pass alone, and reading it against a plain update; print "
        "the bytes per position."
    )
    add_flags(parser, UpdateProblem)
    add_flags(parser, Run)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and write the JSON file.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    settings = parse_flags(args, Run)
    update = parse_flags(args, UpdateProblem)
    settings.start()
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    problem = StepProblem(**asdict(update.with_models()))
    result = benchmark_cache(problem, settings.repeats)
    report = {**describe(problem), **asdict(result)}
    print(cache_table(report, result))
    settings.write(report)
    return 0
