"""The results of a sweep (examples/kd_revisited): students that differ in few axes."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .reading import parse_json, read_text

Row = dict[str, Any]
METRICS = ("bleu", "accuracy", "ppl", "loss")  # the first that there is tells the students apart
LOWER_IS_BETTER = ("ppl", "loss", "nll_loss")


@dataclass(frozen=True)
class Students:
    """The students of one point, by seed.

    Attributes:
        label: the point's values on the axes that are shown.
        quality: seed -> the metric, mean over the splits.
        nll: seed -> bits of a label (fairseq's loss of the stock criterion), mean over the splits.
    """

    label: str
    parameters: int
    quality: Mapping[int, float]
    nll: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Of the metric over seeds."""
        return statistics.mean(self.quality.values())


@dataclass(frozen=True)
class Sweep:
    """A sweep's files.

    Attributes:
        rows: a training each.
        base: axis -> value of the point from which the others differ; empty if not recorded.
        teacher: its metrics, if they were measured.
    """

    rows: list[Row]
    base: dict[str, str]
    teacher: Row | None

    @property
    def metric(self) -> str:
        """What tells the students apart.

        Raises:
            ValueError: no row has any of the known metrics.
        """
        for name in METRICS:
            if _has(self.rows[0], name):
                return name
        raise ValueError(f"RUNS: a sweep's rows hold none of the metrics {', '.join(METRICS)}")

    @property
    def teacher_quality(self) -> float | None:
        """The teacher's value of the metric, mean over the splits, if it was measured."""
        found = [v for k, v in (self.teacher or {}).items() if k.endswith(f"_{self.metric}")]
        return statistics.mean(found) if found else None

    def points(self) -> list[Students]:
        """Every point, the best first; a label is what differs from the base point."""
        groups = defaultdict(list)
        for row in self.rows:
            other = [
                f"{axis} {row[axis]}" for axis, value in self.base.items() if row[axis] != value
            ]
            groups[", ".join(other)].append(row)
        found = [_group(label, rows, self.metric) for label, rows in groups.items()]
        return sorted(found, key=lambda s: s.mean, reverse=self.metric not in LOWER_IS_BETTER)

    def panels(self) -> dict[str, list[Students]]:
        """Axis -> its points, the other axes at the base; only axes with several values."""
        found = {axis: students(self.rows, axis, self.base, self.metric) for axis in self.base}
        return {axis: points for axis, points in found.items() if len(points) > 1}


def read_sweep(path: Path) -> Sweep:
    """Reads results.jsonl and, beside it, base.json and teacher.json where they are.

    Raises:
        ValueError: a line that is not JSON, or no line at all, or one without an axis of base.json,
            or with something else than numbers and words in it.
    """
    rows = read_rows(path)
    base, teacher = (_json(path.with_name(name)) for name in ("base.json", "teacher.json"))
    sweep = Sweep(rows, base or {}, teacher)
    for number, row in enumerate(rows if sweep.base else [], 1):
        missing = sorted({*sweep.base, "seed", "parameters"} - row.keys())
        missing += [] if _has(row, sweep.metric) else [f"a result in {sweep.metric}"]
        if missing:
            raise ValueError(f"RUNS {path}: line {number}: there is no {', '.join(missing)}")
        _check_kinds(sweep, row, f"RUNS {path}: line {number}")
    if sweep.base and teacher:
        _check_numbers(_results(teacher, sweep.metric), f"RUNS {path.with_name('teacher.json')}")
    return sweep


def _check_kinds(sweep: Sweep, row: Row, place: str) -> None:
    """Raises ValueError where a row has no number or no word where one belongs."""
    _check_numbers({k: row[k] for k in ("seed", "parameters")} | _results(row, sweep.metric), place)
    for axis in sweep.base:
        if not isinstance(row[axis], str):
            raise ValueError(f"{place}: {axis}: expected a word, found {row[axis]!r}")


def _results(row: Row, metric: str) -> Row:
    return {key: x for key, x in row.items() if key.endswith((f"_{metric}", "_loss"))}


def _check_numbers(values: Row, place: str) -> None:
    for key, value in values.items():
        if not isinstance(value, int | float):
            raise ValueError(f"{place}: {key}: expected a number, found {value!r}")


def _has(row: Row, metric: str) -> bool:
    return any(key.endswith(f"_{metric}") for key in row)


def read_rows(path: Path, flag: str = "RUNS") -> list[Row]:
    """The lines of a results.jsonl.

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


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    found = parse_json(read_text(path), path)
    return found if isinstance(found, dict) else None


def over_splits(row: Row, names: Sequence[str]) -> float:
    """Mean over the splits of the first of the metrics that a row has.

    Raises:
        ValueError: it has none of them.
    """
    for name in names:
        values = [value for key, value in row.items() if key.endswith(f"_{name}")]
        if values:
            return statistics.mean(values)
    raise ValueError(f"--metric: expected one of the results' metrics, found {', '.join(names)}")


def students(rows: Sequence[Row], product: str, base: Row, metric: str) -> list[Students]:
    """The points of one product of axes, as `init` or `init*soft=0,0.5`; the base point first."""
    factors = [factor.partition("=") for factor in product.split("*")]
    wanted = {axis: names.split(",") if names else None for axis, _, names in factors}
    points = defaultdict(list)
    for row in rows:
        fixed = all(row[a] == base[a] for a in base if a not in wanted)
        chosen = all(names is None or row[axis] in names for axis, names in wanted.items())
        if fixed and chosen:
            points[tuple(row[axis] for axis in wanted)].append(row)
    return [_group(", ".join(values), group, metric) for values, group in points.items()]


def _group(label: str, rows: Sequence[Row], metric: str) -> Students:
    return Students(
        label,
        int(rows[0]["parameters"]),
        {row["seed"]: over_splits(row, [metric]) for row in rows},
        {row["seed"]: over_splits(row, ["nll_loss", "loss"]) for row in rows},
    )
