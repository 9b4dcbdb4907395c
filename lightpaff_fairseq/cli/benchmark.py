"""`lightpaff benchmark`: speed and memory, measured on this machine."""

import argparse
import logging
from dataclasses import asdict, fields
from typing import Any

from ..benchmark.benchmark_tables import cache_table, step_table
from ..benchmark.cache_benchmark import benchmark_cache
from ..benchmark.step_benchmark import StepProblem, benchmark_step
from ..benchmark.step_memory import step_memory
from ..benchmark.step_models import FAMILIES
from . import benchmark_inference
from .benchmark_loss import add_loss
from .benchmark_run import add_common, add_run, machine, prepare, write_report


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    kinds = parser.add_subparsers(metavar="WHAT", dest="what", required=True)
    add_loss(kinds)
    _add_step(kinds)
    _add_cache(kinds)
    inference = benchmark_inference.add_parser(kinds)
    add_run(inference, {"--repeats": (3, "rounds of timing")})
    inference.set_defaults(func=run_inference, clock="wall")


def _add_step(kinds: Any) -> None:
    step = kinds.add_parser(
        "step",
        help="a training update with distillation, a plain one, and the teacher alone",
        description="Times a whole update of fairseq's trainer on random text: the student's plain "
        "one (stock criterion), the teacher's forward pass alone, and the update with "
        "distillation, from the teacher and from a top-k cache; interleaved in one run, since "
        "machines change speed. Prints medians of the times, and of kd / (plain + teacher) and "
        "cached / plain within a round. The default sizes take one to three minutes on one core.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    step.add_argument(
        "--more",
        default="",
        metavar="FLAGS",
        help="as one word, --kd-... flags of one more variant, to compare with plain distillation",
    )
    step.add_argument(
        "--prune",
        type=float,
        default=0.0,
        metavar="RATIO",
        help="one more variant: the same in a prunable task, whose target is this part of the "
        "width; 0 = off",
    )
    step.add_argument(
        "--memory",
        action="store_true",
        help="also the peak memory of a first update (default: not; a fresh process a variant)",
    )
    _add_models(step)
    step.set_defaults(func=run_step)


def _add_cache(kinds: Any) -> None:
    cache = kinds.add_parser(
        "cache",
        help="building and reading a teacher's cache",
        description="Times, for one batch of random text, building a cache (forward pass, top-k, "
        "writing to disk) against the teacher's forward pass alone, and reading it back against a "
        "plain update; prints the size of a position.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_models(cache)
    cache.set_defaults(func=run_cache, more="", prune=0.0)


def _add_models(parser: argparse.ArgumentParser) -> None:
    """Flags of measurements on whole models."""
    parser.add_argument("--family", required=True, choices=FAMILIES, help="kind of model")
    for side in ("student", "teacher"):
        parser.add_argument(
            f"--{side}",
            metavar="FLAGS",
            help=f"fairseq-train's model flags, as one word: '--arch ...' (None: a {side} of "
            "moderate size, the teacher 5 to 7 times larger)",
        )
    sizes = {
        "--vocab": (8192, "symbols of the vocabulary"),
        "--sentences": (16, "sentences of the batch"),
        "--length": (64, "tokens of a sentence"),
        "--topk": (32, "symbols a position of the cached teacher"),
    }
    add_common(parser, sizes)


def run_step(args: argparse.Namespace) -> int:
    """Measures, prints the table and writes the JSON file.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    problem = _step_problem(args)
    result = benchmark_step(problem, args.repeats)
    report = {**asdict(problem), **machine(), **asdict(result)}
    report["extra_mb"] = step_memory(problem, result.seconds) if args.memory else {}
    print(step_table(report, result))
    write_report(args, report)
    return 0


def run_cache(args: argparse.Namespace) -> int:
    """Measures, prints the table and writes the JSON file.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    problem = _step_problem(args)
    result = benchmark_cache(problem, args.repeats)
    report = {**asdict(problem), **machine(), **asdict(result)}
    print(cache_table(report, result))
    write_report(args, report)
    return 0


def run_inference(args: argparse.Namespace) -> int:
    """Measures, prints the table and writes the JSON file.

    Raises:
        ValueError: a flag's value, a file or a model cannot be used.
    """
    prepare(args)
    report, table_text = benchmark_inference.measure(args)
    print(table_text)
    write_report(args, report | machine())
    return 0


def _step_problem(args: argparse.Namespace) -> StepProblem:
    prepare(args)
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    for side in ("student", "teacher"):
        if getattr(args, side) is None:
            setattr(args, side, getattr(FAMILIES[args.family], side))
    return StepProblem(**{field.name: getattr(args, field.name) for field in fields(StepProblem)})
