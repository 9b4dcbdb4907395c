"""The table of results: a row per model, as the mean over its training runs."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from .models import Model, noise_of_speed, speed_of_size, undistilled
from .quality import METRICS, Metric, Row, is_number, quality_metric
from .tables import Table

GAIN, KEPT, SEEDS, SPREAD, MINUTES = "gain over ", "kept", "seeds", "over_seeds", "minutes"
FASTER = "times_faster"
_OF_THE_TEST = (
    *("sentences", "tokens", "unknown_tokens", "words", "seed"),
    *("teacher", "teacher_ece"),  # of evaluate --teacher
)
_NAMES = ("name", "path", "group")
NOISE = 1.05  # ratio of two speeds from which a note explains it


def model_table(
    models: Sequence[Model], names: Sequence[str], minutes: Mapping[str, float]
) -> Table:
    """Show the values of `lightpaff evaluate`, averaged over the seeds of a model.

    A value has a column or, where it is the same in all rows and tells of the test, a note. The
    repeated measurements of speeds are in `run_table`.

    Args:
        names: of the checkpoints, one per row of all models.
        minutes: of training, by the name of a checkpoint.
    """
    names_left = iter(names)
    own_names = [[next(names_left) for _ in model.rows] for model in models]
    rows = [mean_row(model) for model in models]
    metric = quality_metric(rows)
    if metric:
        for model, row in zip(models, rows, strict=True):
            row.update(_quality(model, models, metric))
    for own, row in zip(own_names, rows, strict=True):
        known = [minutes[name] for name in own if name in minutes]
        if len(known) == len(own):
            row[MINUTES] = statistics.mean(known)
    for model, row in zip(models, rows, strict=True):
        if FASTER in row:
            row[FASTER] = speed_of_size(models, model)
    table = _with_notes(rows, metric)
    table.keys = [key for key in table.keys if not key.endswith("_runs")]
    labels = zip(own_names, models, rows, strict=True)
    table.rows = [(own[0], model.name, row) for own, model, row in labels]
    noise = noise_of_speed(models)
    if noise > NOISE:
        text = (
            f"mean of the models of equal size, whose single measurements differ {noise:.1f}-fold"
        )
        table.notes[FASTER] = text
    return table


def run_table(rows: Sequence[Row], names: Sequence[str]) -> Table:
    """Show every value of every training run."""
    table = _with_notes(rows, quality_metric(rows))
    table.rows = [(n, str(row["name"]), row) for n, row in zip(names, rows, strict=True)]
    return table


def mean_row(model: Model) -> dict[str, Any]:
    """Return one row for a model: means of numbers, all values of lists, and what is the same."""
    first, *others = model.rows
    if not others:
        return dict(first)
    row: dict[str, Any] = {"name": model.name}
    for key, value in first.items():
        values = [other.get(key) for other in model.rows]
        if key == "name":
            continue
        if key in _NAMES or value == values[-1] and all(v == value for v in values):
            row[key] = value
        elif isinstance(value, list):
            row[key] = [x for each in values for x in each or []]
        elif (mean := model.mean(key)) is not None and key != "seed":
            row[key] = mean
    return row


def _quality(model: Model, models: Sequence[Model], metric: Metric) -> dict[str, Any]:
    """Return the entries that compare a model's quality with the other models'."""
    teacher, plain = models[0], undistilled(models)
    mean = statistics.mean(model.values(metric.key))
    entries: dict[str, Any] = {}
    if any(len(m.rows) > 1 for m in models):
        entries[SEEDS] = len(model.rows)
    deviation = model.deviation(metric.key)
    if deviation is not None:
        ends = (min(model.values(metric.key)), max(model.values(metric.key)))
        digits = metric.digits
        entries[SPREAD] = f"± {deviation:.{digits}f} ({ends[0]:.{digits}f}–{ends[1]:.{digits}f})"
    whole = teacher.mean(metric.key)
    if metric.higher_is_better and whole and whole > 0 and len(models) > 1:
        entries[KEPT] = f"{100 * mean / whole:.1f} %"
    if plain is not None:
        gain = metric.gain(mean, statistics.mean(plain.values(metric.key)))
        entries[f"{GAIN}{plain.name}"] = "" if model is plain else f"{gain:+.{metric.digits}f}"
    return entries


def _with_notes(rows: Sequence[Row], metric: Metric | None) -> Table:
    """Return a table without rows: its columns, and what is the same in all of them as notes."""
    keys = _ordered_keys(rows, metric)
    shared = [key for key in keys if key in _OF_THE_TEST or key.endswith("_signature")]
    same = [k for k in shared if all(k in r and r[k] == rows[0].get(k) for r in rows)]
    return Table([key for key in keys if key not in same], [], {k: rows[0][k] for k in same})


def _ordered_keys(rows: Sequence[Row], metric: Metric | None) -> list[str]:
    """Return quality and what compares it, sizes, whatever else there is, speeds and ratios."""
    keys = list(dict.fromkeys(key for row in rows for key in row if key not in _NAMES))
    quality = [metric.key, SPREAD, SEEDS, KEPT] if metric else []
    quality += [key for key in keys if key.startswith(GAIN)]
    front = [*quality, *(m.key for m in METRICS), "params", "size_mb", MINUTES]
    back = [key for key in keys if "_per_s" in key] + ["times_smaller", FASTER]
    rest = [key for key in keys if key not in front and key not in back]
    ordered = dict.fromkeys((*front, *rest, *back))
    return [key for key in ordered if key in keys and _is_shown(rows, key)]


def _is_shown(rows: Sequence[Row], key: str) -> bool:
    """Leave out columns of nothing."""
    return any(is_number(row.get(key)) or row.get(key) not in (None, "") for row in rows)
