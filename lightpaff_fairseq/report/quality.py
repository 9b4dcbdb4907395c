"""Which of a result's numbers are quality, and which way is better."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """A measure of quality.

    Attributes:
        key: in a row of `lightpaff evaluate`.
        title: for the reader.
        digits: decimals that are shown.
    """

    key: str
    title: str
    digits: int = 1
    higher_is_better: bool = True

    def gain(self, value: float, over: float) -> float:
        """How much better `value` is, in the metric's own unit."""
        return value - over if self.higher_is_better else over - value


METRICS = (  # the first that the rows have decides
    Metric("bleu", "BLEU", 2),
    Metric("rougeL", "ROUGE-L", 2),
    Metric("rouge1", "ROUGE-1", 2),
    Metric("rouge2", "ROUGE-2", 2),
    Metric("chrf", "chrF", 2),
    Metric("accuracy", "accuracy", 2),
    Metric("pearson", "Pearson", 2),
    Metric("spearman", "Spearman", 2),
    Metric("f1", "F1", 2),
    Metric("mcc", "MCC", 2),
    Metric("ppl_token", "perplexity a token", 2, higher_is_better=False),
    Metric("ppl_word", "perplexity a word", 2, higher_is_better=False),
    Metric("bits_per_token", "bits a token", 4, higher_is_better=False),
)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def quality_of(rows: Sequence[Row]) -> Metric | None:
    """The first metric that all rows have."""
    found = [m for m in METRICS if rows and all(is_number(row.get(m.key)) for row in rows)]
    return found[0] if found else None


def speed_of(rows: Sequence[Row]) -> str | None:
    """The key of the speed, as `sentences_per_s`; higher is faster."""
    keys = [key for row in rows for key in row if key.endswith("_per_s")]
    return next((k for k in keys if all(is_number(row.get(k)) for row in rows)), None)


def over_seeds(rows: Sequence[Row], metric: Metric) -> list[Row]:
    """One row a model: those that differ in `, seed N` at the end of their name become their mean.

    Returns:
        the first row of each model with the mean of the metric, and `trainings`, their number.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(re.sub(r", seed \d+$", "", str(row["name"])), []).append(row)
    return [
        {
            **same[0],
            "name": name,
            metric.key: statistics.mean(row[metric.key] for row in same),
            "trainings": len(same),
        }
        for name, same in groups.items()
    ]


def undistilled(rows: Sequence[Row]) -> Row | None:
    """The student without distillation: by the recipes' file name, or by its own name."""
    for row in rows[1:]:
        path, name = str(row.get("path", "")), str(row["name"]).lower()
        if path.endswith("student_plain_plain.pt") or name.endswith("no kd"):
            return row
    return None
