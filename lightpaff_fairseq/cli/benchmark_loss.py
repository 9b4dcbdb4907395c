"""`lightpaff benchmark loss`: the fused loss, once or over sizes."""

import argparse
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..benchmark.benchmark_tables import problem_line, table
from ..benchmark.loss_benchmark import OPTIONAL, benchmark_loss
from ..benchmark.loss_curves import (
    AXES,
    Over,
    as_json,
    benchmark_curves,
    curves_table,
    parse_over,
    pyplot,
    write_plot,
)
from ..benchmark.loss_sizes import DTYPES, LossProblem
from ..checkpoints.output_file import file_problem
from .benchmark_run import add_common, machine, prepare, write_report

PLOT_SUFFIXES = (".svg", ".png", ".pdf")


def add_loss(kinds: Any) -> None:
    """Registers the sub-command."""
    loss = kinds.add_parser(
        "loss",
        help="the fused loss, the dense one, and their matrix products alone",
        description="Times the distillation loss, forward and backward: its matrix products alone "
        "(floor), fused in chunks, the same from a top-k cache (no teacher's product), dense, and "
        "other libraries'; interleaved in one run, since machines change speed. Prints medians of "
        "the times, of the ratios to the floor within a round, and peak memory above the inputs. "
        "The default sizes take one to three minutes on two cores.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    sizes = {
        "--tokens": (2048, "positions"),
        "--vocab": (32000, "symbols of the vocabulary"),
        "--student-dim": (512, "width of the student's last layer"),
        "--teacher-dim": (1024, "width of the teacher's last layer"),
        "--topk": (32, "symbols a position of the cached teacher"),
    }
    loss.add_argument("--divergence", default="forward_kl", help="as --kd-divergence")
    loss.add_argument("--beta", default=0.5, type=float, help="as --kd-beta")
    text = "other libraries' losses, where installed (extra bench), and ours through torch.compile"
    loss.add_argument("--peers", nargs="+", default=[], choices=OPTIONAL, help=text)
    loss.add_argument("--dtype", default=DTYPES[0], choices=DTYPES, help="of states and weights")
    text = f"one of {', '.join(AXES)} and its values, as vocab 8000 32000: measures at each; "
    text += "again for more sizes"
    loss.add_argument("--over", nargs="+", action="append", default=[], metavar="SIZE", help=text)
    text = "with --over: draw the curves (.svg, .png, .pdf; extra plots)"
    loss.add_argument("--plot", type=Path, metavar="FILE", help=text)
    add_common(loss, sizes)
    loss.set_defaults(func=run_loss)


def run_loss(args: argparse.Namespace) -> int:
    """Measures, prints the table and writes the JSON file.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    prepare(args)
    logging.getLogger().setLevel(logging.WARNING)  # matplotlib tells where it looks for fonts
    overs = parse_over(args.over)
    _check_plot(args.plot, overs)
    problem = LossProblem(**{name: getattr(args, name) for name in LossProblem.__annotations__})
    if overs:
        return _run_curves(problem, overs, args)
    rows, agreement = benchmark_loss(problem, args.repeats, args.peers)
    results = {"minus_dense": agreement, "rows": [asdict(row) for row in rows]}
    report = {**asdict(problem), **machine(), **results}
    print(table(report, rows))
    write_report(args, report)
    return 0


def _check_plot(path: Path | None, overs: list[Over]) -> None:
    if path is None:
        return
    if not overs:
        raise ValueError(f"--plot {path}: expected --over, which says what the curves are over")
    problem = file_problem(path, "--plot", overwrite=True)
    if problem:
        raise ValueError(problem)
    if path.suffix not in PLOT_SUFFIXES:
        raise ValueError(
            f"--plot {path}: expected a name that ends in {' or '.join(PLOT_SUFFIXES)}"
        )
    pyplot()


def _run_curves(problem: LossProblem, overs: list[Over], args: argparse.Namespace) -> int:
    curves = benchmark_curves(problem, overs, args.repeats, args.peers)
    report = {**asdict(problem), **machine()}
    title = problem_line(report)
    print(f"{title}\n{curves_table(curves)}\nmedians of {args.repeats} rounds")
    write_report(args, {**report, "curves": as_json(curves)})
    if args.plot:
        write_plot(curves, title, args.plot)
    return 0
