"""Format the results of `lightpaff benchmark inference` as text."""

from collections.abc import Callable, Sequence
from typing import Any

from ..evaluation.markdown_table import SIZE, Column, decimals, format_table
from ..evaluation.model_rows import Row


def _known(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "unknown" if value is None else write(value)


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def inference_table(report: dict[str, Any], rows: Sequence[Row]) -> str:
    """Return what was measured, one row per variant, and what the columns mean."""
    unit = "tokens/s" if report["task"] == "language_modeling" else "sentences/s"
    columns = [
        *SIZE,
        Column("load", "load_s", decimals(2, " s")),
        Column("p50", "p50_ms", decimals(1, " ms")),
        Column("p95", "p95_ms", decimals(1, " ms")),
        Column(unit, "per_s", _rate),
        Column("x teacher", "times_teacher", decimals(2)),
        Column("x in fairseq", "times_fairseq", decimals(2)),
    ]
    if "peak_mb" in rows[0]:
        columns.append(Column("peak", "peak_mb", _known(decimals(0, " MB"))))
    if "quality" in rows[0]:
        columns.append(Column(rows[0]["measure"], "quality", decimals(2)))
    head = "{task}: {asked}, batches of {batch}, {device}, {threads} threads"
    beam = f", beam {report['beam']}" if report["task"] == "translation" else ""
    notes = [
        f"medians of {report['repeats']} interleaved rounds; latencies are of single "
        f"{report['single']}, without loading",
        "x teacher, x in fairseq: speed relative to the teacher in fairseq, and to the same model "
        "in fairseq, within a round",
    ]
    if "peak_mb" in rows[0]:
        notes.append("peak: loading and answering, above libraries and data, in a fresh process")
    lines = [head.format(**report) + beam, format_table(rows, columns), *notes]
    return "\n".join(lines)
