"""`lightpaff benchmark step`: a whole update with distillation against its parts."""

import argparse
import logging
from dataclasses import asdict, dataclass

from ..benchmark.benchmark_run import Run, describe
from ..benchmark.benchmark_tables import step_table
from ..benchmark.step_benchmark import benchmark_step
from ..benchmark.step_memory import step_memory
from ..benchmark.step_sizes import StepProblem
from ..flags import add_flags, flag, parse_flags


@dataclass(frozen=True, kw_only=True)
class StepRun(Run):
    """Flags of the benchmark."""

    memory: bool = flag(
        "also measure the peak memory of a first update, in a fresh process per variant on a CPU",
        False,
    )


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the measurement to its parser."""
    parser.description = (
        "Time an update of fairseq's trainer on random text: plain (stock criterion), with "
        "distillation from the teacher, and from a top-k cache; and the teacher's forward pass "
        "alone. All are timed in one run, interleaved, since machines change speed. Print medians "
        "of the times, and of kd / (plain + teacher) and cached / plain within a round. The "
        "default sizes take one to three minutes on one core."
    )
    add_flags(parser, StepProblem)
    add_flags(parser, StepRun)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and write the JSON file.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    settings = parse_flags(args, StepRun)
    problem = parse_flags(args, StepProblem).with_models()
    settings.start()
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    on_gpu = settings.memory and problem.device == "cuda"
    result = benchmark_step(problem, settings.repeats, gpu_memory=on_gpu)
    in_processes = settings.memory and not on_gpu
    extra = step_memory(problem, result.seconds) if in_processes else result.extra_mb
    report = {**describe(problem), **asdict(result), "extra_mb": extra}
    print(step_table(report, result))
    settings.write(report)
    return 0
