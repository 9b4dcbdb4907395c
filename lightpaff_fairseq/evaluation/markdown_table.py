"""Rows as a table that reads well in a terminal and in Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .model_rows import Row


@dataclass(frozen=True)
class Column:
    """One column: its title, the key in a row, and how a value is written."""

    title: str
    key: str
    write: Callable[[Any], str] = str


def millions(count: int) -> str:
    """1248512 -> `1.25 M`."""
    return f"{count / 1e6:.2f} M"


def decimals(digits: int, unit: str = "") -> Callable[[Any], str]:
    """A writer of numbers with so many decimals and `unit` behind."""
    return lambda value: f"{value:.{digits}f}{unit}"


SIZE = (
    Column("model", "name"),
    Column("params", "params", millions),
    Column("file", "size_mb", decimals(1, " MB")),
)
RATIOS = (
    Column("times smaller", "times_smaller", decimals(1, "x")),
    Column("times faster", "times_faster", decimals(1, "x")),
)


def format_table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """A Markdown table with aligned columns, the first left and the others right.

    Args:
        rows: every row holds the key of every column.
        columns: from left to right.
    """
    cells = [[column.write(row[column.key]) for column in columns] for row in rows]
    titles = [column.title for column in columns]
    widths = [max(len(line[i]) for line in [titles, *cells]) for i in range(len(columns))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(line, widths) for line in [titles, rule, *cells])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([first, *rest])} |"
