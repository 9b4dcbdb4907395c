"""Models and their training runs: the rows of one `group` differ in their seed."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .quality import Metric, Row, is_number


@dataclass(frozen=True)
class Model:
    """The rows of one model, a row per training run.

    Attributes:
        name: the group of its rows, or the name of a row without a group.
        rows: of `lightpaff evaluate`.
    """

    name: str
    rows: list[Row]

    def values(self, key: str) -> list[float]:
        """Return the finite numbers of an entry, in the order of the runs."""
        return [row[key] for row in self.rows if is_number(row.get(key))]

    def mean(self, key: str) -> float | None:
        """Return the mean of an entry over the runs; None where a run lacks it."""
        values = self.values(key)
        return statistics.mean(values) if len(values) == len(self.rows) else None

    def deviation(self, key: str) -> float | None:
        """Return the standard deviation of an entry over the runs; None for a single run."""
        values = self.values(key)
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def is_undistilled(self) -> bool:
        """True for the student without distillation, by a recipe's file name or its own name."""
        path = str(self.rows[0].get("path", ""))
        ends = ("no kd", "without distillation")  # of recipes, and of lightpaff distill
        return path.endswith("student_plain_plain.pt") or self.name.lower().endswith(ends)

    @property
    def is_teacher(self) -> bool:
        """True for the teacher with fewer tokens, of `lightpaff distill --keep-tokens`."""
        return self.name.startswith("teacher, ")


def group_models(rows: Sequence[Row]) -> list[Model]:
    """Return the models in the order of their first rows; the first is the teacher."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(str(row.get("group", row["name"])), []).append(row)
    return [Model(name, rows) for name, rows in groups.items()]


def undistilled(models: Sequence[Model]) -> Model | None:
    """Return the student without distillation, if there is one."""
    return next((model for model in models[1:] if model.is_undistilled), None)


def spread_of_seeds(models: Sequence[Model], metric: Metric) -> float | None:
    """Return the standard deviation over seeds, pooled over models; None without several seeds."""
    spreads = {m.name: x for m in models if (x := m.deviation(metric.key)) is not None}
    degrees = [len(m.rows) - 1 for m in models if m.name in spreads]
    weighted = [x * math.sqrt(n) for x, n in zip(spreads.values(), degrees, strict=True)]
    return math.hypot(*weighted) / math.sqrt(sum(degrees)) if degrees else None


def speed_of_size(models: Sequence[Model], model: Model) -> float | None:
    """Return how many times faster than the teacher models of this size are, on average.

    Models with equally many parameters have the same speed: what differs between them is noise.
    """
    values = _speeds_of_size(models, model)
    return statistics.mean(values) if values else None


def noise_of_speed(models: Sequence[Model]) -> float:
    """Return the largest ratio of two measured speeds of models of one size; 1: none to compare."""
    ratios = [1.0]
    for model in models:
        values = [value for value in _speeds_of_size(models, model) if value > 0]
        ratios += [max(values) / min(values)] if values else []
    return max(ratios)


def _speeds_of_size(models: Sequence[Model], model: Model) -> list[float]:
    size = model.mean("params")
    same = [m for m in models if m is model or (size is not None and m.mean("params") == size)]
    return [value for m in same for value in m.values("times_faster")]
