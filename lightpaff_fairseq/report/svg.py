"""Figures as SVG: inside a page, with its colors and an explanation, or as a file of their own."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from .style import COLOURS, TEACHER

TEXT, GRID, PAPER = "#1c1c1c", "#dcdcdc", "#fefefe"
_VARIABLES = {  # what a page may replace, in a dark theme
    TEXT: "--ink",
    TEACHER: "--teacher",
    GRID: "--grid",
    PAPER: "--paper",
    **{color: f"--series-{i}" for i, color in enumerate(COLOURS)},
}
_NOT_IN_A_PAGE = (
    (r"<defs>\s*<style.*?</style>\s*</defs>", ""),  # would be the whole page's style
    (r' font-family: [^;"]*;', ""),  # the page's font
    (r'<g id="[^"]*">', "<g>"),  # nothing refers to them
    (r"\s*\n\s*", "\n"),
)
_SETTINGS = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and copied
    "svg.hashsalt": "lightpaff",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "axes.titlecolor": TEXT,
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 6,
}


@contextmanager
def figure(width: float, height: float, rows: int = 1) -> Iterator[tuple[Any, list[Any]]]:
    """A figure and its axes, one below the other with one x axis; width and height in inches.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError(
            "lightpaff report needs the package matplotlib: pip install 'lightpaff-fairseq[plots]'"
        ) from error
    with matplotlib.rc_context(_SETTINGS):
        made = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(made)
        axes = made.subplots(rows, squeeze=False, sharex=True)
        yield made, list(axes[:, 0])


def standalone(made: Any, title: str, description: str) -> str:
    """A figure as the text of a file: on white paper, with title and description for readers."""
    return _explained(_drawn(made, "white"), title, description, "figure")


def inline(made: Any, title: str, description: str, name: str) -> str:
    """A figure as an element of a page.

    Args:
        name: different for every figure of the page; it goes before every id.
    Returns:
        `<svg>` without a size of its own, its colors as CSS variables (`--ink`, `--series-0`, ...)
        that fall back to those of paper.
    """
    text = _drawn(made, "none")
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    for pattern, kept in _NOT_IN_A_PAGE:
        text = re.sub(pattern, kept, text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    for color in _VARIABLES:
        text = text.replace(color, themed(color))
    return _explained(text, title, description, name)


def themed(color: str) -> str:
    """A color as CSS that a page's theme may replace."""
    return f"var({_VARIABLES[color]}, {color})"


def _drawn(made: Any, paper: str) -> str:
    buffer = io.StringIO()
    made.savefig(buffer, format="svg", metadata={"Date": None}, facecolor=paper)
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)  # a comment a text, as long as it
    return re.sub(r'="[^"]*"', _rounded, text)  # not between tags, where numbers are read


def _rounded(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point."""
    return re.sub(r"(\.\d\d)\d+", r"\1", attribute[0])


def _explained(text: str, title: str, description: str, name: str) -> str:
    ids = f"{name}-title {name}-desc"
    head = f'<title id="{name}-title">{escape(title)}</title>'
    head += f'<desc id="{name}-desc">{escape(description)}</desc>'
    text = re.sub("<svg ", f'<svg role="img" aria-labelledby="{ids}" ', text, count=1)
    return re.sub(r"(<svg[^>]*>)", lambda found: f"{found[1]}\n{head}", text, count=1)
