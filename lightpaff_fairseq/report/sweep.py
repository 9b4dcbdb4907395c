"""Read the results of a sweep (examples/kd_revisited): students that differ in few axes."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .input_files import parse_json, read_text

Row = dict[str, Any]
METRICS = ("bleu", "accuracy", "ppl", "loss")  # the first that a sweep has tells students apart
LOWER_IS_BETTER = ("ppl", "loss", "nll_loss")


@dataclass(frozen=True)
class Students:
    """The students of one point, by seed.

    Attributes:
        label: the point's values on the axes that are shown.
        quality: seed -> the metric, mean over the splits.
        nll: seed -> bits per label (fairseq's loss of the stock criterion), mean over the splits.
    """

    label: str
    parameters: int
    quality: Mapping[int, float]
    nll: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Mean of the metric over seeds."""
        return statistics.mean(self.quality.values())


@dataclass(frozen=True)
class Sweep:
    """The files of a sweep.

    Attributes:
        rows: one per training.
        base: axis -> value of the point from which the others differ; empty if not recorded.
        teacher: its metrics, if they were measured.
    """

    rows: list[Row]
    base: dict[str, str]
    teacher: Row

    @property
    def metric(self) -> str:
        """The metric by which the students are ranked.

        Raises:
            ValueError: no row has any of the known metrics.
        """
        for name in METRICS:
            if _values(self.rows[0], name):
                return name
        raise ValueError(f"RUNS: a sweep's rows hold none of the metrics {', '.join(METRICS)}")

    @property
    def teacher_quality(self) -> float | None:
        """The teacher's value of the metric, mean over the splits, if it was measured."""
        values = _values(self.teacher, self.metric)
        return statistics.mean(values.values()) if values else None

    def points(self) -> list[Students]:
        """Return every point, the best first; a label is what differs from the base point."""
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            differing = [f"{a} {row[a]}" for a, value in self.base.items() if row[a] != value]
            groups[", ".join(differing)].append(row)
        points = [_group(label, rows, self.metric) for label, rows in groups.items()]
        return sorted(points, key=lambda s: s.mean, reverse=self.metric not in LOWER_IS_BETTER)

    def panels(self) -> dict[str, list[Students]]:
        """Map every axis with several values to its points, the other axes at the base."""
        panels = {axis: students(self.rows, axis, self.base, self.metric) for axis in self.base}
        return {axis: points for axis, points in panels.items() if len(points) > 1}


def read_sweep(path: Path) -> Sweep:
    """Read results.jsonl and, beside it, base.json and teacher.json where they are.

    Raises:
        ValueError: a line that is not JSON, or no line at all, or one without an axis of base.json,
            or with something else than numbers and words in it.
    """
    base, teacher = (_read_object(path.with_name(f"{name}.json")) for name in ("base", "teacher"))
    for axis, value in base.items():
        if not isinstance(value, str) or set(axis) & set("*=,"):
            place = f"RUNS {path.with_name('base.json')}"
            raise ValueError(f"{place}: expected names of axes and words, got {axis}: {value!r}")
    sweep = Sweep(read_rows(path), base, teacher)
    for number, row in enumerate(sweep.rows if base else [], 1):
        missing = sorted({*base, "seed", "parameters"} - row.keys())
        missing += [] if _values(row, sweep.metric) else [f"a result in {sweep.metric}"]
        if missing:
            raise ValueError(f"RUNS {path}: line {number}: there is no {', '.join(missing)}")
        _check_values(row, sweep, f"RUNS {path}: line {number}")
    if base:
        _check_values(teacher, sweep, f"RUNS {path.with_name('teacher.json')}")
    return sweep


def _check_values(row: Row, sweep: Sweep, place: str) -> None:
    """Raise ValueError where a row has no number or no word where one belongs."""
    for key, value in row.items():
        must_be = key in ("seed", "parameters") or key.endswith((f"_{sweep.metric}", "_loss"))
        is_number = isinstance(value, int | float) and (key != "parameters" or math.isfinite(value))
        if must_be and not is_number:
            raise ValueError(f"{place}: {key}: expected a number, got {value!r}")
        if key in sweep.base and not isinstance(value, str):
            raise ValueError(f"{place}: {key}: expected a word, got {value!r}")


def _values(row: Row, metric: str) -> Row:
    """Return a metric's values on the splits, as `valid_accuracy`."""
    return {key: value for key, value in row.items() if key.endswith(f"_{metric}")}


def read_rows(path: Path, flag: str = "RUNS") -> list[Row]:
    """Read the lines of a results.jsonl.

    Args:
        flag: how the user named the file, for the error.
    Raises:
        ValueError: there are none, or one is not a JSON object (with its number).
    """
    if not path.is_file() or not path.stat().st_size:
        raise ValueError(f"{flag} {path} is not there or empty; sweep.py makes it")
    rows = []
    for number, line in enumerate(read_text(path, flag).splitlines(), 1):
        row = parse_json(line, path, number, flag)
        if not isinstance(row, dict) or "name" not in row:
            raise ValueError(f"{flag} {path}: line {number}: expected an object with a name")
        rows.append(row)
    return rows


def _read_object(path: Path) -> Row:
    content = parse_json(read_text(path), path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise ValueError(f"RUNS {path}: expected an object, got {type(content).__name__}")
    return content


def over_splits(row: Row, names: Sequence[str]) -> float:
    """Return the mean over the splits of the first of the metrics that a row has.

    Raises:
        ValueError: it has none of them.
    """
    for name in names:
        if values := _values(row, name):
            return float(statistics.mean(values.values()))
    raise ValueError(f"--metric: expected one of the results' metrics, got {', '.join(names)}")


def students(rows: Sequence[Row], product: str, base: Row, metric: str) -> list[Students]:
    """Return the points of a product of axes, as `init` or `init*soft=0,0.5`; the base first."""
    factors = [factor.partition("=") for factor in product.split("*")]
    chosen = {axis: names.split(",") if names else None for axis, _, names in factors}
    points: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        is_at_base = all(row[axis] == base[axis] for axis in base if axis not in chosen)
        if is_at_base and all(names is None or row[a] in names for a, names in chosen.items()):
            points[tuple(row[axis] for axis in chosen)].append(row)
    return [_group(", ".join(values), group, metric) for values, group in points.items()]


def _group(label: str, rows: Sequence[Row], metric: str) -> Students:
    return Students(
        label,
        int(rows[0]["parameters"]),
        {row["seed"]: over_splits(row, [metric]) for row in rows},
        {row["seed"]: over_splits(row, ["nll_loss", "loss"]) for row in rows},
    )
