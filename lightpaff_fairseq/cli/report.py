"""`lightpaff report`: summarize training runs and results in one page or plot."""

import argparse
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from ..flags import add_flags, flag, parse_flags
from ..output_file import file_problem, write_text
from ..problems import Problems
from ..report.figures import kl_sparsity
from ..report.log import TRAINING, Log
from ..report.page import render_page
from ..report.results import Run, read_runs

PLOTS = {"kl_sparsity": kl_sparsity}


@dataclass(frozen=True)
class ReportRequest:
    """The files to read and to write."""

    runs: list[Path] = flag(
        "folder of a recipe (results.json, logs/) or a sweep (results.jsonl), a results.json, "
        "output of lightpaff benchmark --json, or a log of fairseq-train (json or simple format)",
        name="runs",
        nargs="+",
        metavar="RUNS",
    )
    out: Path | None = flag("the page to write, as report.html", None, metavar="FILE")
    title: str | None = flag(
        "title of the page (default: the name of a single run, or Report)", None, metavar="TEXT"
    )
    plot: str | None = flag(
        "with --svg: one plot of all logs. kl_sparsity: distillation loss and, for runs that "
        "prune, sparsity over updates",
        None,
        choices=tuple(PLOTS),
    )
    svg: Path | None = flag("the file for --plot", None, metavar="FILE")
    force: bool = flag("overwrite --out and --svg (default: refuse)", default=False)

    def check(self) -> None:
        """Raise ValueError, with all problems, if the flags do not fit together."""
        problems = Problems()
        problems.unless(
            bool(self.out or self.svg),
            "--out: expected a file for the page (or --plot and --svg)",
        )
        problems.unless(bool(self.svg) or not self.plot, "--plot: expected --svg too")
        problems.unless(bool(self.plot) or not self.svg, "--svg: expected --plot too")
        if self.out and self.svg:
            is_same = os.path.realpath(self.out) == os.path.realpath(self.svg)
            problems.unless(not is_same, f"--svg {self.svg}: expected a different file from --out")
        for name, path in (("--out", self.out), ("--svg", self.svg)):
            problems.extend([file_problem(path, name, self.force)] if path else [])
        problems.raise_if_any()


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Write one self-contained HTML page (no scripts, no external resources) with the table of "
        "models, their size, quality and speed, learning curves, commands and versions, all read "
        "from the files."
    )
    add_flags(parser, ReportRequest)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Write the page, the plot, or both.

    Raises:
        ValueError: bad flags, files that cannot be read or are empty, or output that exists.
    """
    logging.getLogger().setLevel(logging.WARNING)  # matplotlib logs its search for fonts
    request: ReportRequest = parse_flags(args, ReportRequest)
    request.check()
    runs = read_runs(request.runs)
    written = []
    if request.svg and request.plot:
        written.append(("--svg", request.svg, PLOTS[request.plot](_logs_to_plot(runs))))
    if request.out:
        title = request.title or (runs[0].title if len(runs) == 1 else "Report")
        written.append(("--out", request.out, render_page(runs, title)))
    for name, path, text in written:
        write_text(path, text, name)
        print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")
    return 0


def _logs_to_plot(runs: list[Run]) -> dict[str, Log]:
    """Return the logs to plot, by label; of a folder only those of runs that prune."""
    return {
        f"{run.title}: {label}" if len(runs) > 1 else label: run.logs[name]
        for run in runs
        for name, label in run.labels().items()
        if name in run.logs
        and (not run.path.is_dir() or "prune_sparsity" in run.logs[name].curves[TRAINING])
    }
