"""Tables for the terminal, in Markdown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """One column: its title, the key in a row, and the function that formats a value."""

    title: str
    key: str
    write: Callable[[Any], str] = str


def millions(count: int) -> str:
    """Format 1248512 as `1.25 M`."""
    return f"{count / 1e6:.2f} M"


def decimals(digits: int, unit: str = "") -> Callable[[Any], str]:
    """Return a function that formats a number with `digits` decimals, followed by `unit`."""
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


def format_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> str:
    """Return a Markdown table with aligned columns, the first left and the others right.

    Args:
        rows: each with the key of every column.
        columns: from left to right.
    """
    cells = [[column.write(row[column.key]) for column in columns] for row in rows]
    titles = [column.title for column in columns]
    widths = [max(map(len, texts)) for texts in zip(titles, *cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    alignments = ["<", *">" * (len(columns) - 1)]
    return "\n".join(
        f"| {' | '.join(map('{:{}{}}'.format, line, alignments, widths))} |"
        for line in [titles, rule, *cells]
    )
