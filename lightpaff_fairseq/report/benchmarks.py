"""Measurements of `lightpaff benchmark --json` as tables, whatever was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from .tables import Cell, Table, cell, title


def benchmark_tables(found: Mapping[str, Any]) -> list[Table]:
    """Tables of variants, and one of what was measured on what.

    A list of objects is a table with a row each; objects with the same keys are the columns of one
    table; all single values are one table.
    """
    tables = []
    for value in found.values():
        if isinstance(value, list) and value and all(isinstance(row, Mapping) for row in value):
            tables.append(_of_rows(value))
    groups: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = {}
    for key, value in found.items():
        if isinstance(value, Mapping) and value:
            groups.setdefault(tuple(value), {})[key] = value
    tables += [_of_columns(names, columns) for names, columns in groups.items()]
    single = {k: v for k, v in found.items() if not isinstance(v, (Mapping, list))}
    if single:
        tables.append(_of_columns(tuple(single), {"value": single}))
    return tables


def _of_rows(rows: Sequence[Mapping[str, Any]]) -> Table:
    keys = list(dict.fromkeys(key for row in rows for key in row if key != "name"))
    lines = [(str(r.get("name", i)), [cell(r, key) for key in keys]) for i, r in enumerate(rows, 1)]
    return Table(keys, [title(k) for k in keys], [(n, n, cells) for n, cells in lines], [])


def _of_columns(names: Sequence[str], columns: Mapping[str, Mapping[str, Any]]) -> Table:
    lines: list[tuple[str, list[Cell]]] = [
        (name, [cell(column, name) for column in columns.values()]) for name in names
    ]
    keys = list(columns)
    return Table(keys, [title(k) for k in keys], [(n, title(n), cells) for n, cells in lines], [])
