"""Sum up results in a few sentences that do not flatter."""

import math
from collections.abc import Sequence
from typing import Any

from .curves import TITLES
from .quality import (
    Metric,
    Row,
    is_number,
    mean_over_seeds,
    quality_metric,
    speed_key,
    undistilled,
)
from .sweep import Students, Sweep


def summarize(rows: Sequence[Row]) -> str:
    """Compare the best student with the teacher and with the student without distillation.

    Args:
        rows: of `lightpaff evaluate`; the first is the teacher. Of several seeds the mean counts:
            the best of them would be chance.
    Returns:
        "" where there is nothing to compare.
    """
    metric = quality_metric(rows)
    if metric is None:
        return ""
    teacher, *students = rows = mean_over_seeds(rows, metric)
    if not students:
        return ""
    plain = undistilled(rows)
    candidates = [row for row in students if row is not plain] or students
    best = max(candidates, key=lambda row: (metric.gain(row[metric.key], 0), _speed(row)))
    is_only_one = len(candidates) == 1
    subject = f"The student {best['name']}" if is_only_one else f"The best student, {best['name']},"
    sentences = [f"{subject} {_against_teacher(best, teacher, metric)}"]
    if plain is not None and best is not plain:
        sentences.append(_against_plain(best, plain, teacher, metric))
    return " ".join([*sentences, *_caveats(rows, metric)])


def summarize_sweep(sweep: Sweep) -> str:
    """Name the best point, the base point and the teacher, as means over seeds; "" without base."""
    if not sweep.base:
        return ""
    points, metric = sweep.points(), TITLES.get(sweep.metric, sweep.metric).split(" (")[0]
    best = points[0]
    count = f"{len(sweep.rows)} runs of {len(points)} points."
    text = f"{count} The best in {metric} is {best.label or 'the base point'}: {_mean(best)}"
    for base in [point for point in points if not point.label and point is not best]:
        text += f"; the base point ({', '.join(sweep.base.values())}) has {_mean(base)}"
    if sweep.teacher_quality is not None:
        text += f"; the teacher {sweep.teacher_quality:.2f}"
    return f"{text}. The best of many is partly chance."


def _mean(point: Students) -> str:
    seeds = len(point.quality)
    return f"{point.mean:.2f} ({'one seed' if seeds == 1 else f'mean of {seeds} seeds'})"


def _speed(row: Row) -> float:
    return row["times_faster"] if is_number(row.get("times_faster")) else 0.0


def _against_teacher(best: Row, teacher: Row, metric: Metric) -> str:
    ratios = []
    if _is_positive(best.get("times_smaller")):
        ratios.append(_ratio(best["times_smaller"], "smaller", "larger"))
    if speed_key([best, teacher]) and _is_positive(best.get("times_faster")):
        ratios.append(_ratio(best["times_faster"], "faster", "slower"))
    name, value = _name(teacher), _value(teacher, metric)
    text = f"is {' and '.join(ratios)} than {name} and " if ratios else ""
    text += f"reaches {metric.title} {_value(best, metric)}"
    if not metric.higher_is_better:
        return f"{text}; {name} has {value}, lower is better."
    if teacher[metric.key] <= 0:
        return f"{text}; {name} has {value}."
    return f"{text}, {100 * best[metric.key] / teacher[metric.key]:.1f} % of {name}'s {value}."


def _is_positive(value: Any) -> bool:
    return is_number(value) and bool(value > 0)


def _name(teacher: Row) -> str:
    return "the teacher" if teacher["name"] == "teacher" else str(teacher["name"])


def _value(row: Row, metric: Metric) -> str:
    return f"{row[metric.key]:.{metric.digits}f}"


def _ratio(value: float, more: str, less: str) -> str:
    return f"{value:.1f} times {more}" if value >= 1 else f"{1 / value:.1f} times {less}"


def _against_plain(best: Row, plain: Row, teacher: Row, metric: Metric) -> str:
    gain = metric.gain(best[metric.key], plain[metric.key])
    gap = metric.gain(teacher[metric.key], plain[metric.key])
    value, name = f"{_value(plain, metric)} ({plain['name']})", _name(teacher)
    if gain <= 0:
        return f"Distillation gained nothing here: without it, it is {value}."
    if gap <= 0:
        return f"Without distillation it is {value}, no worse than {name} itself."
    part = f"{100 * gain / gap:.0f} % of the gap to {name}"
    return f"Without distillation it is {value}: distillation closes {part}."


def _caveats(rows: Sequence[Row], metric: Metric) -> list[str]:
    """Return sentences on the uncertainty of differences."""
    sentences = []
    counts = [row.get("sentences") for row in rows]
    if metric.key == "accuracy" and _is_positive(counts[0]) and counts == [counts[0]] * len(rows):
        p = min(max(rows[1]["accuracy"] / 100, 0), 1)
        margin = 196 * math.sqrt(p * (1 - p) / counts[0])
        known = f"an accuracy is known to ±{margin:.1f} points (95 %)"
        sentences.append(f"With {counts[0]:,} test sentences {known}.")
    most = max(row["trainings"] for row in rows)
    return [
        *sentences,
        f"Means of up to {most} runs." if most > 1 else "Each row is one run.",
    ]
