"""Arrange results as tables for the page's template."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .quality import METRICS, Row, is_number
from .sweep import LOWER_IS_BETTER, Sweep

MEASUREMENTS = {"rows": "measurements"}  # captions of tables
_TITLES = {
    "params": "parameters",
    "size_mb": "file (MB)",
    "sentences_per_s": "sentences/s",
    "tokens_per_s": "tokens/s",
    "kept": "of the teacher's quality",
    "over_seeds": "seeds: deviation (range)",
    "draft_acceptance": "accepted as a draft (%)",
    "argmax_agreement": "same argmax as the teacher (%)",
    "ece": "calibration error (%)",
    "teacher_ece": "teacher's calibration error (%)",
    "kl_bits": "KL from the teacher (bits)",
    "minutes": "training (min)",
    "load_s": "load (s)",
    "p50_ms": "median latency (ms)",
    "p95_ms": "95 % latency (ms)",
    "per_s": "per second",
    "times_teacher": "× teacher",
    "times_fairseq": "× itself in fairseq",
    "peak_mb": "memory (MB)",
    "seconds": "seconds per round",
    **{metric.key: metric.title for metric in METRICS},
}
_FORMATS = {
    "size_mb": "{:.1f}",
    "sentences_per_s": "{:,.0f}",
    "tokens_per_s": "{:,.0f}",
    "times_smaller": "{:.1f}×",
    "times_faster": "{:.1f}×",
    "times_teacher": "{:.2f}",
    "times_fairseq": "{:.2f}",
    "draft_acceptance": "{:.1f}",
    "argmax_agreement": "{:.1f}",
    "ece": "{:.1f}",
    "kl_bits": "{:.3f}",
    "minutes": "{:.0f}",
    "load_s": "{:.2f}",
    "p50_ms": "{:.1f}",
    "p95_ms": "{:.1f}",
    "per_s": "{:,.0f}",
    "peak_mb": "{:,.0f}",
    **{metric.key: f"{{:.{metric.digits}f}}" for metric in METRICS},
}


@dataclass
class Table:
    """Rows for the template, which writes a cell's text and, beside it, the exact value.

    Attributes:
        keys: of the columns.
        rows: (name of the checkpoint, name for the reader, values).
        notes: what is the same in all rows.
    """

    keys: list[str]
    rows: Sequence[tuple[str, str, Row]]
    notes: dict[str, Any] = field(default_factory=dict)


def title(key: str) -> str:
    """Return a key as the heading of its column."""
    if key.endswith("_runs"):
        return "runs"
    return _TITLES.get(key, key.replace("_", " ").replace(" bleu", " BLEU"))


def text(value: Any, key: str) -> str:
    """Format a value."""
    if value is None:
        return "–"
    if isinstance(value, list) and value and all(map(is_number, value)):
        ends = [f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in (min(value), max(value))]
        return "–".join(dict.fromkeys(ends))
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if not is_number(value):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if key == "params":
        return f"{value / 1e6:.2f} M"
    return _FORMATS.get(key, "{:,}" if isinstance(value, int) else "{:.4g}").format(value)


def sweep_table(sweep: Sweep) -> Table:
    """Show every run of a sweep, best first, with the results before the axes."""
    skip = ("name", "flags", "flags_key")
    keys = list(dict.fromkeys(key for row in sweep.rows for key in row if key not in skip))
    quality = [key for key in keys if sweep.base and key.endswith(f"_{sweep.metric}")]
    front = [key for key in (*quality, *sweep.base, "seed", "parameters") if key in keys]
    rows = list(sweep.rows)
    if quality and all(is_number(row.get(quality[0])) for row in rows):
        rows.sort(key=lambda row: row[quality[0]], reverse=sweep.metric not in LOWER_IS_BETTER)
    return _named_rows(rows, [*front, *(key for key in keys if key not in front)])


def _named_rows(rows: Iterable[Row], keys: list[str]) -> Table:
    return Table(keys, [(str(row["name"]), str(row["name"]), row) for row in rows])


def benchmark_tables(measurements: Mapping[str, Any]) -> list[tuple[str, Table]]:
    """Show what `lightpaff benchmark --json` wrote, as captions and tables.

    A list of objects is a table with a row each; objects with the same keys are the columns of one
    table; what is nested deeper is a table of its own; all single values are one table.
    """
    tables: list[tuple[str, Table]] = []
    columns: dict[tuple[str, ...], dict[str, Row]] = {}
    setting = {}
    for key, value in measurements.items():
        if _is_rows(value):
            tables.append((MEASUREMENTS.get(key, key), _of_rows({"": value})))
        elif not isinstance(value, Mapping):
            setting[key] = value
        elif value and all(map(_is_rows, value.values())):
            tables.append((key, _of_rows({f"{part}: ": rows for part, rows in value.items()})))
        elif any(isinstance(part, Mapping) for part in value.values()):
            tables += [(f"{key}, {name}", table) for name, table in benchmark_tables(value)]
        elif value:
            columns.setdefault(tuple(value), {})[key] = value
    tables += [(", ".join(map(title, group)), _of_columns(group)) for group in columns.values()]
    return [*tables, ("setting", _of_columns({"value": setting}))] if setting else tables


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(r, Mapping) for r in value)


def _of_rows(parts: Mapping[str, Sequence[Row]]) -> Table:
    """Make one table of several lists, whose names are put in front of their rows' names."""
    rows = [
        _with_measure({**row, "name": f"{part}{row.get('name', i)}"})
        for part, rows in parts.items()
        for i, row in enumerate(rows, 1)
    ]
    keys = list(dict.fromkeys(k for row in rows for k in row if k != "name"))
    return _named_rows(rows, sorted(keys, key=_place_of_column))


def _with_measure(row: dict[str, Any]) -> Row:
    """Return a row of `benchmark inference` with its quality under the name of the measure."""
    if "measure" in row and "quality" in row:
        row[str(row.pop("measure"))] = row.pop("quality")
    return row


def _place_of_column(key: str) -> int:
    """Put sizes first, quality next, and the single measurements last."""
    front = ("params", "size_mb", "BLEU", "ppl", "accuracy", "Pearson")
    return front.index(key) if key in front else len(front) + (key == "seconds")


def _of_columns(columns: Mapping[str, Row]) -> Table:
    names = list(next(iter(columns.values())))
    rows = [(n, title(n), {key: column[n] for key, column in columns.items()}) for n in names]
    return Table(list(columns), rows)
