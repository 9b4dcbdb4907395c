"""Plot what students keep of their teachers, from the tables of the docs: docs/quality_kept.svg.

python docs/plot_quality.py
"""

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "quality_kept.svg"
PLAIN, DISTILLED = "#bb5566", "#004488"
LOWER_IS_BETTER = ("ppl/token",)


class Pair(NamedTuple):
    """A row of the plot: two students of one table.

    Attributes:
        title: of the data set; page: the file with the table.
        quality: the column of the measure.
        plain, distilled: rows of the student without and with distillation.
    """

    title: str
    page: str
    quality: str
    plain: str
    distilled: str


class Kept(NamedTuple):
    """What the students of a `Pair` keep of the teacher's quality, as a share, and their size."""

    pair: Pair
    plain: float
    distilled: float
    times_smaller: str


PAIRS = (
    Pair(
        "Swedish-English, lightpaff distill",
        "docs/distill.md",
        "BLEU",
        "student without distillation",
        "student, 3+1 layers x 120",
    ),
    Pair(
        "Swedish-English, random start, two stages",
        "examples/tatoeba_sv_en/README.md",
        "BLEU",
        "student, no KD",
        "student, two-stage KD",
    ),
    *(
        Pair(title, f"examples/{folder}/README.md", quality, "no KD", best)
        for title, folder, quality, best in (
            ("WikiText-2", "wikitext2", "ppl/token", "two-stage KD"),
            ("Subjectivity", "subjectivity", "accuracy", "two-stage KD"),
            ("Sentence polarity", "sentence_polarity", "accuracy", "two-stage KD"),
            ("SICK entailment", "sick", "accuracy", "two-stage KD"),
        )
    ),
)


def cells(line: str) -> list[str]:
    """Return the cells of a table's row without emphasis."""
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]


def read(pair: Pair) -> Kept:
    """Read the first table of a page that has the rows of a pair."""
    lines = (ROOT / pair.page).read_text(encoding="utf-8").splitlines()
    start = next(
        i for i, line in enumerate(lines) if {pair.quality, "times smaller"} <= {*cells(line)}
    )
    header = cells(lines[start])
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows[cells(line)[0]] = dict(zip(header, cells(line), strict=True))
    teacher, plain, distilled = (rows[x] for x in ("teacher", pair.plain, pair.distilled))

    def share(row: dict[str, str]) -> float:
        one, other = float(row[pair.quality]), float(teacher[pair.quality])
        return other / one if pair.quality in LOWER_IS_BETTER else one / other

    return Kept(pair, share(plain), share(distilled), distilled["times smaller"])


def draw(axes: Any, kept: list[Kept]) -> None:
    """Draw a line per data set, from the student without distillation to the distilled one."""
    for y, row in enumerate(reversed(kept)):
        axes.plot([row.plain, row.distilled], [y, y], color="#cccccc", zorder=1)
        for value, color in ((row.plain, PLAIN), (row.distilled, DISTILLED)):
            axes.plot(value, y, "o", color=color, markersize=8, zorder=2)
        axes.annotate(
            f"{row.distilled:.0%}",
            (max(row.plain, row.distilled), y),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=DISTILLED,
        )
    titles = [f"{row.pair.title} ({row.times_smaller} smaller)" for row in reversed(kept)]
    axes.set_yticks(range(len(kept)), titles)
    axes.set(xlim=(0.68, 1.05), ylim=(-0.6, len(kept) - 0.4))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.axvline(1, color="#444444", linestyle=":", zorder=0)
    axes.set_xlabel("of the teacher's test quality (BLEU, accuracy, inverse perplexity)")
    axes.spines[["top", "right"]].set_visible(False)
    for label, color in (("same student, no distillation", PLAIN), ("distilled", DISTILLED)):
        axes.plot([], [], "o", color=color, label=label)
    axes.legend(loc="lower left", frameon=False)


def main() -> None:
    """Write the picture."""
    plt.rcParams.update({"svg.hashsalt": "lightpaff", "svg.fonttype": "none", "font.size": 10})
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    draw(axes, [read(pair) for pair in PAIRS])
    figure.savefig(OUT, metadata={"Date": None})


if __name__ == "__main__":
    main()
