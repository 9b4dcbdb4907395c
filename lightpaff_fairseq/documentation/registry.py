"""What the pages share: the plug-in's own registry entries, and tables."""

from collections.abc import Iterable
from typing import Any

PACKAGE = __name__.split(".")[0]


def ours(registry: dict[str, Any]) -> dict[str, Any]:
    """The entries of a fairseq registry that this plug-in defines, sorted by name."""
    return {
        name: thing
        for name, thing in sorted(registry.items())
        if str(getattr(thing, "__module__", "")).split(".")[0] == PACKAGE
    }


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
