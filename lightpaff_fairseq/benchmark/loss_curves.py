"""`lightpaff benchmark loss --over`: time and memory of the loss as one size grows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..disk_errors import name_output
from ..output_file import file_problem, replacing
from ..problems import Problems
from .loss_benchmark import Row, benchmark_loss
from .loss_sizes import LossProblem

WIDTH = "width"
AXES = ("tokens", "vocab", "topk", "chunk-tokens", WIDTH)
PANELS = {"seconds": "seconds", "times the floor": "ratio_to_floor", "extra MB": "extra_mb"}
PLOT_SUFFIXES = (".svg", ".png", ".pdf")
Curves = dict[str, dict[int, list[Row]]]  # axis -> value -> one row per variant


@dataclass(frozen=True)
class Over:
    """One size and its values; the other sizes are fixed.

    Attributes:
        axis: one of `AXES`; `width` is the student's, the teacher's keeps its proportion.
    """

    axis: str
    values: tuple[int, ...]

    def problem(self, base: LossProblem, value: int) -> LossProblem:
        """Return the base problem with this size set."""
        if self.axis == WIDTH:
            wider = value * base.teacher_dim // base.student_dim
            return replace(base, student_dim=value, teacher_dim=wider)
        size: dict[str, Any] = {self.axis.replace("-", "_"): value}
        return replace(base, **size)


def parse_over(words: Sequence[Sequence[str]]) -> list[Over]:
    """Parse every `--over AXIS VALUE VALUE...`.

    Raises:
        ValueError: an unknown size, fewer than two values, or values that are not numbers.
    """
    overs = []
    for axis, *values in words:
        if axis not in AXES:
            raise ValueError(f"--over {axis}: expected one of {', '.join(AXES)}")
        if len(values) < 2 or not all(value.isdigit() and int(value) > 0 for value in values):
            got = " ".join(values) or "nothing"
            raise ValueError(f"--over {axis}: expected two or more positive numbers, got {got}")
        overs.append(Over(axis, tuple(int(value) for value in values)))
    return overs


def check_plot(path: Path, overs: Sequence[Over]) -> None:
    """Check that curves can be drawn into a file.

    Raises:
        ValueError: there are no curves, the file cannot be written, or matplotlib is missing.
    """
    problems = Problems([file_problem(path, "--plot", overwrite=True)])
    problems.unless(bool(overs), f"--plot {path}: expected --over, which names the size to vary")
    problems.unless(
        path.suffix in PLOT_SUFFIXES,
        f"--plot {path}: expected a name that ends in {' or '.join(PLOT_SUFFIXES)}",
    )
    problems.raise_if_any()
    pyplot()


def benchmark_curves(
    base: LossProblem,
    overs: Sequence[Over],
    repeats: int,
    peers: Sequence[str] = (),
    memory: bool = True,
) -> Curves:
    """Run `benchmark_loss` at every value of every size."""
    return {
        over.axis: {
            value: benchmark_loss(over.problem(base, value), repeats, peers, memory)[0]
            for value in over.values
        }
        for over in overs
    }


def as_json(curves: Curves) -> dict[str, list[dict[str, Any]]]:
    """Return the curves as plain values: axis -> [{value, rows}]."""
    return {
        axis: [{"value": v, "rows": [asdict(row) for row in rows]} for v, rows in points.items()]
        for axis, points in curves.items()
    }


def curves_table(curves: Curves) -> str:
    """Return one block of lines per size: one line per value, three columns per variant."""
    lines = []
    for axis, points in curves.items():
        names = [row.name for row in next(iter(points.values()))]
        lines.append(f"{axis:>12} " + " ".join(f"{name:>24}" for name in names))
        lines.append(f"{'':>12} " + " ".join(f"{'seconds':>8} {'x':>6} {'MB':>8}" for _ in names))
        for value, rows in points.items():
            cells = (f"{r.seconds:8.4f} {r.ratio_to_floor:6.2f} {_size(r):>8}" for r in rows)
            lines.append(f"{value:12,} " + " ".join(cells))
        lines.append("")
    return "\n".join([*lines, "x: times the floor, within a round; MB: peak above the inputs"])


def _size(row: Row) -> str:
    return "unknown" if row.extra_mb is None else f"{row.extra_mb:.1f}"


def write_plot(curves: Curves, title: str, path: Path) -> None:
    """Draw three panels per size: seconds, times the floor, extra MB.

    Args:
        path: its suffix is the format.
    Raises:
        ValueError: matplotlib is not installed.
    """
    plt = pyplot()
    figure, axes = plt.subplots(
        len(curves), 3, figsize=(10, 2.6 * len(curves) + 0.6), squeeze=False, layout="constrained"
    )
    for row_of_axes, (axis, points) in zip(axes, curves.items(), strict=True):
        for panel, (label, field) in zip(row_of_axes, PANELS.items(), strict=True):
            for i, variant in enumerate(zip(*points.values(), strict=True)):
                style = {"color": f"C{i}", "marker": "osD^v<>"[i % 7], "markersize": 4}
                values = [getattr(row, field) for row in variant]
                panel.plot(list(points), values, label=variant[0].name, **style)
            panel.set(xscale="log", xlabel=axis, ylabel=label)
            panel.set_xticks(list(points), [f"{value:,}" for value in points])
            panel.minorticks_off()
            panel.set_ylim(bottom=0)
            panel.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    with name_output("--plot", path), replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".") or "svg", metadata={"Date": None})
    plt.close(figure)


def pyplot() -> Any:
    """Return matplotlib's pyplot, which draws into files only.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ValueError(
            "--plot: needs the package matplotlib: pip install 'lightpaff-fairseq[plots]'"
        ) from error
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    plt.rcParams["svg.fonttype"] = "none"
    plt.rcParams["svg.hashsalt"] = "lightpaff"
    return plt
