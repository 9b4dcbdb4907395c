"""How a model looks: one color, marker and dash in every plot, readable without colors too."""

from collections.abc import Iterable
from dataclasses import dataclass

# Okabe and Ito's palette for color-blind readers, without black (the teacher's) and yellow
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<")
DASHES = ("", "6 2", "2 2")
TEACHER = "#1b1b1b"  # replaced by the text's color where the page is dark, see svg.py


@dataclass(frozen=True)
class Style:
    """Of one model.

    Attributes:
        color: `#rrggbb`.
        marker: matplotlib's name of it.
        dash: SVG's stroke-dasharray, in points; empty: solid.
    """

    color: str
    marker: str
    dash: str

    @property
    def line(self) -> object:
        """The dash as matplotlib wants it."""
        return (0, tuple(float(x) for x in self.dash.split())) if self.dash else "solid"


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each model, by its place in the list; a teacher's is black.

    A teacher is a model whose name begins with `teacher`; before and after its fine-tuning it looks
    the same.
    """
    found: dict[str, Style] = {}
    i = 0
    for name in names:
        if name.rsplit("/", 1)[-1].startswith("teacher"):
            found[name] = Style(TEACHER, "*", "")
            continue
        dash = DASHES[i // len(COLOURS) % len(DASHES)]
        found[name] = Style(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], dash)
        i += 1
    return found
