"""Format the results of `lightpaff benchmark inference` as text."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..evaluation.markdown_table import SIZE, Column, decimals, format_table
from ..evaluation.model_rows import Row


def _known(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "unknown" if value is None else write(value)


def _or_dash(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "–" if value is None else write(value)


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def inference_table(report: dict[str, Any], rows: Sequence[Row]) -> str:
    """Return a line of settings, a table with one row per variant, and notes on the columns."""
    unit = "tokens/s" if report["task"] == "language_modeling" else "sentences/s"
    columns = [
        *(replace(column, write=_known(column.write)) for column in SIZE),
        Column("load", "load_s", decimals(2, " s")),
        Column("p50", "p50_ms", decimals(1, " ms")),
        Column("p95", "p95_ms", decimals(1, " ms")),
        Column(unit, "per_s", _rate),
        Column("x teacher", "times_teacher", decimals(2)),
        Column("x in fairseq", "times_fairseq", _or_dash(decimals(2))),
    ]
    if "peak_mb" in rows[0]:
        columns.append(Column("peak", "peak_mb", _known(decimals(0, " MB"))))
    if "quality" in rows[0]:
        columns.append(Column(rows[0]["measure"], "quality", decimals(2)))
    head = "{task}: {asked}, batches of {batch}, {device}, {threads} threads"
    beam = f", beam {report['beam']}" if report["task"] == "translation" else ""
    notes = [
        f"medians of {report['repeats']} interleaved rounds; p50, p95: latencies of single "
        f"{report['single']}, without loading",
        "x teacher, x in fairseq: speed relative to the teacher in fairseq, and to the same model "
        "in fairseq, within a round",
    ]
    if any(row["times_fairseq"] is None for row in rows):
        notes.append("peers run from text to text: their times include tokenization")
    if rows[0].get("measure") == "BLEU":
        notes.append("BLEU: against the split's binarized target, not against raw text")
    if "peak_mb" in rows[0]:
        notes.append("peak: memory for loading and running, without libraries and data")
    lines = [head.format(**report) + beam, format_table(rows, columns), *notes]
    return "\n".join(lines)
