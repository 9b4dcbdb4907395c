"""Tell which of a result's numbers are quality, and which way is better."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """A measure of quality.

    Attributes:
        key: in a row of `lightpaff evaluate`; title: for the reader; digits: decimals shown.
    """

    key: str
    title: str
    digits: int = 2
    higher_is_better: bool = True

    def gain(self, value: float, over: float) -> float:
        """Return how much better `value` is, in the metric's own unit."""
        return value - over if self.higher_is_better else over - value


METRICS = (  # the first that the rows have decides
    Metric("bleu", "BLEU"),
    Metric("rougeL", "ROUGE-L"),
    Metric("rouge1", "ROUGE-1"),
    Metric("rouge2", "ROUGE-2"),
    Metric("chrf", "chrF"),
    Metric("accuracy", "accuracy"),
    Metric("pearson", "Pearson"),
    Metric("spearman", "Spearman"),
    Metric("f1", "F1"),
    Metric("mcc", "MCC"),
    Metric("ppl_token", "perplexity per token", higher_is_better=False),
    Metric("ppl_word", "perplexity per word", higher_is_better=False),
    Metric("bits_per_token", "bits per token", 4, higher_is_better=False),
)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def quality_metric(rows: Sequence[Row]) -> Metric | None:
    """Return the first metric that all rows have."""
    shared = (m for m in METRICS if rows and all(is_number(row.get(m.key)) for row in rows))
    return next(shared, None)


def speed_key(rows: Sequence[Row]) -> str | None:
    """Return the key of the speed that all rows have, as `sentences_per_s`; higher is faster."""
    keys = [key for row in rows for key in row if key.endswith("_per_s")]
    return next((k for k in keys if all(is_number(row.get(k)) for row in rows)), None)
