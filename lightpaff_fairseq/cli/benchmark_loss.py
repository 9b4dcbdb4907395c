"""`lightpaff benchmark loss`: the fused loss, once or over sizes."""

import argparse
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from ..benchmark.benchmark_run import Run, describe
from ..benchmark.benchmark_tables import loss_table, problem_line
from ..benchmark.loss_benchmark import OPTIONAL, benchmark_loss
from ..benchmark.loss_curves import (
    AXES,
    Over,
    as_json,
    benchmark_curves,
    check_plot,
    curves_table,
    parse_over,
    write_plot,
)
from ..benchmark.loss_sizes import LossProblem
from ..flags import add_flags, flag, parse_flags


@dataclass(frozen=True, kw_only=True)
class LossRun(Run):
    """Flags of the benchmark, for one or several sizes."""

    peers: tuple[str, ...] = flag(
        "also time other libraries' losses (extra bench), and the fused loss with torch.compile, "
        "--kd-kernel torch, --kd-kernel triton or --kd-divergence jsd (default: none)",
        (),
        nargs="+",
        choices=OPTIONAL,
    )
    no_memory: bool = flag(
        "do not measure peak memory, which takes a fresh process per variant on a CPU", False
    )
    over: list[list[str]] | None = flag(
        f"vary one size ({', '.join(AXES)}), as vocab 8000 32000; may be repeated for other sizes",
        None,
        nargs="+",
        action="append",
        metavar="SIZE",
    )
    plot: Path | None = flag(
        "with --over: plot the curves (.svg, .png, .pdf; extra plots)", None, metavar="FILE"
    )


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the measurement to its parser."""
    parser.description = (
        "Time the distillation loss, forward and backward: its matrix products alone (floor), "
        "fused, with the soft loss at a share of the positions (selected), from a top-k cache "
        "or one of draws (without the teacher's product), dense, and other libraries'. "
        "All are timed in one run, interleaved, since machines change speed. Print medians of the "
        "times and of the ratios to the floor within a round, and peak memory without the inputs. "
        "The default sizes take one to three minutes on two cores."
    )
    add_flags(parser, LossProblem)
    add_flags(parser, LossRun)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and write the JSON file.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    settings = parse_flags(args, LossRun)
    problem = parse_flags(args, LossProblem)
    settings.start()
    logging.getLogger().setLevel(logging.WARNING)  # matplotlib logs its search for fonts
    overs = parse_over(settings.over or [])
    if settings.plot:
        check_plot(settings.plot, overs)
    if overs:
        return _run_curves(problem, overs, settings)
    rows, agreement = benchmark_loss(
        problem, settings.repeats, settings.peers, not settings.no_memory
    )
    results = {"minus_dense": agreement, "rows": [asdict(row) for row in rows]}
    report = {**describe(problem), **results}
    print(loss_table(report, rows))
    settings.write(report)
    return 0


def _run_curves(problem: LossProblem, overs: list[Over], settings: LossRun) -> int:
    memory = not settings.no_memory
    curves = benchmark_curves(problem, overs, settings.repeats, settings.peers, memory)
    report = describe(problem)
    title = problem_line(report)
    print(f"{title}\n{curves_table(curves)}\nmedians of {settings.repeats} rounds")
    settings.write({**report, "curves": as_json(curves)})
    if settings.plot:
        write_plot(curves, title, settings.plot)
    return 0
