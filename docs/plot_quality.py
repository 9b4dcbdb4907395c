"""Plot quality against size from the tables of the recipes: docs/quality_vs_size.svg.

python docs/plot_quality.py
"""

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "quality_vs_size.svg"
TEACHER, PLAIN, DISTILLED, PRUNED = "#444444", "#bb5566", "#004488", "#228833"


class Point(NamedTuple):
    """A row of a README's table: its first cell, the text at the point, color and label side."""

    row: str
    label: str
    color: str
    above: bool = True


class Panel(NamedTuple):
    """One plot: a table of a README, the columns of size and BLEU, and the rows to show."""

    title: str
    readme: str
    size: str
    bleu: str
    points: tuple[Point, ...]


PANELS = (
    Panel(
        "Swedish-English: distillation in two stages",
        "examples/tatoeba_sv_en/README.md",
        "params",
        "BLEU",
        (
            Point("teacher", "teacher", TEACHER),
            Point("student, no KD", "student, no distillation", PLAIN, above=False),
            Point("student, two-stage KD", "student, distilled", DISTILLED),
        ),
    ),
    Panel(
        "Swedish-English, 900 updates: pruning the teacher",
        "examples/homodistil/README.md",
        "params",
        "mean",
        (
            Point("from scratch", "from scratch", PLAIN, above=False),
            Point("from scratch + KD", "from scratch, distilled", DISTILLED),
            Point("HomoDistil", "pruned and distilled", PRUNED),
        ),
    ),
)


def cells(line: str) -> list[str]:
    """Return the cells of a table's row without emphasis."""
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]


def read_points(panel: Panel) -> list[tuple[Point, float, float]]:
    """Return every point of a panel with its size in millions of parameters and its BLEU."""
    lines = (ROOT / panel.readme).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if {panel.size, panel.bleu} <= {*cells(line)})
    header = cells(lines[start])
    points = []
    for point in panel.points:
        row = next(c for c in map(cells, lines[start + 2 :]) if c[0].split(" (")[0] == point.row)
        values = dict(zip(header, row, strict=True))
        size = float(values[panel.size].removesuffix(" M"))
        points.append((point, size, float(values[panel.bleu])))
    return points


def draw(axes: Any, panel: Panel, points: list[tuple[Point, float, float]]) -> None:
    """Draw one panel."""
    for point, size, bleu in points:
        axes.plot(size, bleu, "o", color=point.color, markersize=7)
        left = point.color == TEACHER
        axes.annotate(
            f"{point.label}: {bleu:.1f}",
            (size, bleu),
            xytext=(4 if left else 0, 7 if point.above else -14),
            textcoords="offset points",
            ha="right" if left else "left",
            color=point.color,
        )
    axes.set_title(panel.title, fontsize=11)
    axes.set_xlabel("million parameters")
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Write the picture."""
    plt.rcParams.update({"svg.hashsalt": "lightpaff", "svg.fonttype": "none", "font.size": 10})
    figure, axes = plt.subplots(1, len(PANELS), figsize=(9, 3.4), layout="constrained")
    teacher = (Point("teacher", "teacher", TEACHER), 3.55, 31.8)  # stated above the second table
    for ax, panel, more in zip(axes, PANELS, ([], [teacher]), strict=True):
        draw(ax, panel, read_points(panel) + more)
    axes[0].set(ylabel="test BLEU", xlim=(0, 7.4), ylim=(34, 45))
    axes[1].set(xlim=(0, 4), ylim=(7, 36))
    figure.savefig(OUT, metadata={"Date": None})


if __name__ == "__main__":
    main()
