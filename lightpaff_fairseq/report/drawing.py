"""Draw with matplotlib: how a model looks, and figures as SVG, inside a page or as a file."""

import io
import itertools
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

# Okabe and Ito's palette for color-blind readers, without black (the teacher's) and yellow
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
GLYPHS = dict(zip("o^sDvPX<*", "○△□◇▽✚✕◁☆", strict=True))  # matplotlib's marker -> legend
LINES = ("solid", "dashed", "dotted")  # names that matplotlib and CSS share
TEACHER, TEXT, GRID, PAPER = "#1b1b1b", "#1c1c1c", "#dcdcdc", "#fefefe"
_VARIABLES = {  # color -> CSS variable by which a page's theme replaces it
    TEACHER: "--teacher",
    TEXT: "--ink",
    GRID: "--grid",
    PAPER: "--paper",
    **{color: f"--series-{i}" for i, color in enumerate(COLORS)},
}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")  # XML has no place for these
_NUMBERS = itertools.count()  # of figures inside pages
_SETTINGS = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and copied
    "svg.hashsalt": "lightpaff",
    "text.parse_math": False,  # names may have dollar signs
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    **dict.fromkeys(["axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "text.color"], TEXT),
    **dict.fromkeys(["xtick.color", "ytick.color"], TEXT),
    "grid.color": GRID,
    "axes.facecolor": "none",
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Style:
    """Color (`#rrggbb`), marker and line of a model, by their names in matplotlib."""

    color: str
    marker: str
    line: str

    @property
    def css_color(self) -> str:
        """The color as CSS, which the page's theme may replace."""
        return f"var({_VARIABLES[self.color]}, {self.color})"

    @property
    def glyph(self) -> str:
        """The marker as a character."""
        return GLYPHS[self.marker]


def styles(names: Iterable[str]) -> dict[str, Style]:
    """Return a style per model, by its position in the list, distinguishable in gray too.

    A teacher is a model whose name begins with `teacher`; it is black, before and after its
    fine-tuning.
    """
    looks: dict[str, Style] = {}
    markers = list(GLYPHS)[:-1]
    i = 0
    for name in names:
        if name.rsplit("/", 1)[-1].startswith("teacher"):
            looks[name] = Style(TEACHER, "*", "solid")
            continue
        line = LINES[i // len(COLORS) % len(LINES)]
        looks[name] = Style(COLORS[i % len(COLORS)], markers[i % len(markers)], line)
        i += 1
    return looks


@contextmanager
def figure(width: float, height: float, rows: int = 1) -> Iterator[tuple[Any, list[Any]]]:
    """Yield a figure and its axes, one below the other; width and height in inches.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError(
            "lightpaff report needs the package matplotlib: pip install 'lightpaff-fairseq[plots]'"
        ) from error
    with matplotlib.rc_context(_SETTINGS):
        drawn = Figure(figsize=(width, height), layout="constrained")
        yield drawn, list(drawn.subplots(rows, squeeze=False, sharex=True)[:, 0])


def standalone_svg(drawn: Any, title: str, description: str) -> str:
    """Return a figure as the text of a file: on white paper, with title and description."""
    return _described(_svg(drawn, "white"), title, description, "figure")


def inline_svg(drawn: Any, title: str, description: str) -> str:
    """Return a figure as an element of a page: its ids are unique, its colors CSS variables."""
    name = f"figure-{next(_NUMBERS)}"
    text = _svg(drawn, "none")
    text = text[text.index("<svg") :]
    text = re.sub("<[^>]*>", lambda tag: _adapted(tag[0], name), text)
    return _described(text, title, description, name)


def _adapted(tag: str, name: str) -> str:
    """Put `name` in front of the ids of an XML tag, and CSS variables in place of its colors."""
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'(href="|url\()#', rf"\1#{name}-", tag)
    for color, variable in _VARIABLES.items():
        tag = tag.replace(color, f"var({variable}, {color})")
    return tag


def _svg(drawn: Any, paper: str) -> str:
    buffer = io.StringIO()
    no_metadata = dict.fromkeys(["Creator", "Date", "Format", "Type"])
    drawn.savefig(buffer, format="svg", metadata=no_metadata, facecolor=paper)
    return buffer.getvalue()


def _described(text: str, title: str, description: str, name: str) -> str:
    text, title, description = (_CONTROL.sub("\ufffd", x) for x in (text, title, description))
    ids = f"{name}-title {name}-desc"
    head = f'<title id="{name}-title">{escape(title)}</title>'
    head += f'<desc id="{name}-desc">{escape(description)}</desc>'
    start, end, rest = text.partition("<svg ")
    attributes, _, content = rest.partition(">")
    return f'{start}{end}role="img" aria-labelledby="{ids}" {attributes}>{head}{content}'
