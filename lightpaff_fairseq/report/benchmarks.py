"""Measurements of `lightpaff benchmark --json` as tables, whatever was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from .tables import Cell, Table, cell, title


def benchmark_tables(found: Mapping[str, Any]) -> list[tuple[str, Table]]:
    """Captions and tables: of variants first, of what was measured on what last.

    A list of objects is a table with a row each; objects with the same keys are the columns of one
    table; what is nested deeper is a table of its own; all single values are one table.
    """
    tables: list[tuple[str, Table]] = []
    groups: dict[tuple[str, ...], dict[str, Mapping[str, Any]]] = {}
    for key, value in found.items():
        if _is_rows(value):
            tables.append((key, _of_rows(value)))
        elif isinstance(value, Mapping) and all(map(_is_rows, value.values())):
            rows = [_named(row, k, i) for k, part in value.items() for i, row in enumerate(part)]
            tables += [(key, _of_rows(rows))] if rows else []
        elif isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values()):
            tables += [(f"{key}, {name}", table) for name, table in benchmark_tables(value)]
        elif isinstance(value, Mapping):
            groups.setdefault(tuple(value), {})[key] = value
    tables += [(", ".join(map(title, of)), _of_columns(names, of)) for names, of in groups.items()]
    single = {k: v for k, v in found.items() if not isinstance(v, Mapping) and not _is_rows(v)}
    if single:
        tables.append(("setting", _of_columns(tuple(single), {"value": single})))
    return tables


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(r, Mapping) for r in value)


def _named(row: Mapping[str, Any], group: str, place: int) -> dict[str, Any]:
    return {**row, "name": f"{group}: {row.get('name', place + 1)}"}


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
