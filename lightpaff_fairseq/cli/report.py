"""`lightpaff report`: trainings and results as one page, or as one plot."""

import argparse
import logging
from pathlib import Path

from ..checkpoints.output_file import file_problem, write_text
from ..report.logs import Log
from ..report.page import page
from ..report.plots import kl_sparsity
from ..report.runs import Run, read_runs

PLOTS = {"kl_sparsity": kl_sparsity}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Writes one self-contained HTML page (no scripts, nothing from elsewhere): the "
        "table of the models, size, quality and speed, learning curves, commands and versions. "
        "Nothing is measured: it shows what is in the files."
    )
    text = (
        "folder of a recipe (results.json, logs/) or a sweep (results.jsonl), a results.json, what "
    )
    text += "lightpaff benchmark --json wrote, or a log of fairseq-train (json or simple format)"
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUNS", help=text)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the page to write, as report.html"
    )
    text = "heading of the page (default: of one run its name, else Report)"
    parser.add_argument("--title", metavar="TEXT", help=text)
    text = (
        "with --svg, one plot of all logs. kl_sparsity: distillation loss and, of runs that prune, "
    )
    parser.add_argument("--plot", choices=tuple(PLOTS), help=text + "sparsity over updates")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="the file for --plot")
    text = "overwrite --out and --svg (default: refuse)"
    parser.add_argument("--force", action="store_true", help=text)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Writes the page, the plot, or both.

    Raises:
        ValueError: flags that do not fit, files that exist, cannot be read or hold nothing.
    """
    logging.getLogger().setLevel(logging.WARNING)  # matplotlib explains its choice of fonts
    check(args)
    runs = read_runs(args.runs)
    written = []
    if args.svg:
        written.append(("--svg", args.svg, PLOTS[args.plot](_logs(runs))))
    if args.out:
        title = args.title or (runs[0].title if len(runs) == 1 else "Report")
        written.append(("--out", args.out, page(runs, title)))
    for flag, path, text in written:
        write_text(path, text, flag)
        print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")
    return 0


def check(args: argparse.Namespace) -> None:
    """Raises ValueError, naming all problems, if the flags do not fit together."""
    problems = []
    if not args.out and not args.svg:
        problems.append("--out: expected a file for the page (or --plot and --svg)")
    if bool(args.plot) != bool(args.svg):
        given, missing = ("--plot", "--svg") if args.plot else ("--svg", "--plot")
        problems.append(f"{given}: expected {missing} too")
    if args.out and args.svg and args.out.resolve() == args.svg.resolve():
        problems.append(f"--svg {args.svg}: expected another file than --out")
    for flag, path in (("--out", args.out), ("--svg", args.svg)):
        problem = file_problem(path, flag, args.force) if path else None
        problems += [problem] if problem else []
    if problems:
        raise ValueError("; ".join(problems))


def _logs(runs: list[Run]) -> dict[str, Log]:
    """The logs to plot, by label."""
    several = len(runs) > 1
    return {
        f"{run.title}: {label}" if several else label: run.logs[name]
        for run in runs
        for name, label in run.labels().items()
        if name in run.logs
        and (not run.path.is_dir() or run.logs[name].training_curve("prune_sparsity"))
    }
