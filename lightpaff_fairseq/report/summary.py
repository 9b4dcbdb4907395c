"""Sum up results in a few sentences that claim no more than the training runs allow."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .curves import TITLES
from .models import Model, group_models, speed_of_size, spread_of_seeds, undistilled
from .quality import Metric, Row, is_number, quality_metric
from .sweep import Students, Sweep


def summarize(rows: Sequence[Row]) -> str:
    """Compare all distilled students with the teacher and with the student without distillation.

    None of them is named the best: the best on a test set, of several models or seeds, is partly
    chance.

    Args:
        rows: of `lightpaff evaluate`; the first is the teacher.
    Returns:
        "" where there is nothing to compare.
    """
    metric = quality_metric(rows)
    models = group_models(rows)
    if metric is None or len(models) < 2:
        return ""
    plain = undistilled(models)
    others = [m for m in models[1:] if m is not plain and not m.is_teacher]
    students = others or models[1:]
    sentences = [_against_teacher(students, models, metric)]
    if plain is not None and plain not in students:
        sentences.append(_against_plain(students, plain, models[0], metric))
    return " ".join([*sentences, *_caveats(models, metric)])


def summarize_sweep(sweep: Sweep) -> str:
    """Give the range of the points, the base point and the teacher, as means; "" without base."""
    if not sweep.base:
        return ""
    points, metric = sweep.points(), TITLES.get(sweep.metric, sweep.metric).split(" (")[0]
    ends = _range([point.mean for point in points], "{:.2f}")
    text = f"{len(sweep.rows)} runs of {len(points)} points, {metric} {ends}"
    for base in [point for point in points if not point.label]:
        text += f"; the base point ({', '.join(sweep.base.values())}) has {_mean(base)}"
    if sweep.teacher_quality is not None:
        text += f"; the teacher {sweep.teacher_quality:.2f}"
    return f"{text}. The best of many points is partly chance."


def _mean(point: Students) -> str:
    seeds = len(point.quality)
    return f"{point.mean:.2f} ({'one seed' if seeds == 1 else f'mean of {seeds} seeds'})"


def _against_teacher(students: Sequence[Model], models: Sequence[Model], metric: Metric) -> str:
    """Return a sentence on sizes, speeds and the share of the quality that is kept."""
    teacher, is_one = models[0], len(students) == 1
    be, keep, reach = ("is", "keeps", "reaches") if is_one else ("are", "keep", "reach")
    name = "the teacher" if teacher.name == "teacher" else teacher.name
    text = f'The student "{students[0].name}" ' if is_one else f"The {len(students)} students "
    if facts := _ratios(students, models):
        text += f"{be} {' and '.join(facts)} than {name} and "
    values, whole = _means(students, metric), _means([teacher], metric)[0]
    number = f"{{:.{metric.digits}f}}"
    reached, known = _range(values, number), number.format(whole)
    if metric.higher_is_better and whole > 0:
        share = _range([100 * value / whole for value in values])
        return f"{text}{keep} {share} % of {name}'s {metric.title}: {reached} of {known}."
    rest = "" if metric.higher_is_better else ", lower is better"
    return f"{text}{reach} {metric.title} {reached}; {name} has {known}{rest}."


def _ratios(students: Sequence[Model], models: Sequence[Model]) -> list[str]:
    """Return how much smaller and faster the students are, where it was measured."""
    smaller = [m.mean("times_smaller") for m in students]
    faster = [speed_of_size(models, m) for m in students]
    facts = []
    for values, more, less in ((smaller, "smaller", "larger"), (faster, "faster", "slower")):
        known = [value for value in values if value is not None and value > 0]
        if len(known) == len(values):
            inverted = max(known) < 1
            numbers = [1 / value for value in known] if inverted else known
            facts.append(f"{_range(numbers)} times {less if inverted else more}")
    return facts


def _range(values: Iterable[float], number: str = "{:.1f}") -> str:
    """Return `6.8`, or `2.1 to 6.8`."""
    numbers = list(values)
    ends = [number.format(x) for x in (min(numbers), max(numbers))]
    return " to ".join(dict.fromkeys(ends))


def _means(models: Sequence[Model], metric: Metric) -> list[float]:
    return [mean for m in models if (mean := m.mean(metric.key)) is not None]


def _against_plain(students: Sequence[Model], plain: Model, teacher: Model, metric: Metric) -> str:
    """Return a sentence on the gain over the student without distillation."""
    whole, base = _means([teacher, plain], metric)
    gains = [metric.gain(value, base) for value in _means(students, metric)]
    gap = metric.gain(whole, base)
    text = f"Without distillation ({plain.name}) it is {base:.{metric.digits}f}"
    if max(gains) <= 0:
        return f"{text}: distillation gained nothing here."
    text += f": the difference is {_range(gains, f'{{:+.{metric.digits}f}}')}"
    if gap <= 0:
        return f"{text}, and the teacher itself is not better."
    return f"{text}, {_range([100 * gain / gap for gain in gains], '{:.0f}')} % of the gap."


def _caveats(models: Sequence[Model], metric: Metric) -> list[str]:
    """Return sentences on the uncertainty of differences."""
    sentences = []
    counts: list[Any] = [row.get("sentences") for model in models for row in model.rows]
    is_known = is_number(counts[0]) and counts == counts[:1] * len(counts)
    count = counts[0] if is_known else 0
    if metric.key == "accuracy" and count > 0:
        p = min(max(_means(models[1:2], metric)[0] / 100, 0), 1)
        margin = 196 * math.sqrt(p * (1 - p) / count)
        known = f"an accuracy is known to ±{margin:.1f} points (95 %)"
        sentences.append(f"With {count:,} test sentences {known}.")
    spread = spread_of_seeds(models, metric)
    if spread is None:
        text = "Each row is one training run: how much seeds differ was not measured."
    else:
        seeds = sorted({len(model.rows) for model in models})
        text = f"Rows are means over {_range(seeds, '{:.0f}')} seeds"
        text += f"; seeds of one model differ by {spread:.{metric.digits}f} (standard deviation)."
    return [*sentences, text]
