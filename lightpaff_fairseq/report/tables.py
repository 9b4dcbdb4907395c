"""Results as cells: what is shown, and beside it the exact value of the file."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..evaluation.markdown_table import decimals, millions
from .quality import METRICS, Metric, Row, is_number, over_seeds, quality_of, undistilled
from .sweep import LOWER_IS_BETTER, Sweep

_COUNTS = ("sentences", "tokens", "unknown_tokens", "words")  # of the test set
_TITLES = {
    "params": "parameters",
    "size_mb": "file (MB)",
    "sentences_per_s": "sentences/s",
    "tokens_per_s": "tokens/s",
    "times_smaller": "times smaller",
    "times_faster": "times faster",
    **{metric.key: metric.title for metric in METRICS},
}
_WRITERS: dict[str, Callable[[Any], str]] = {
    "params": millions,
    "size_mb": decimals(1),
    "sentences_per_s": lambda x: f"{x:,.0f}",
    "tokens_per_s": lambda x: f"{x:,.0f}",
    "times_smaller": decimals(1, "×"),
    "times_faster": decimals(1, "×"),
    **{metric.key: decimals(metric.digits) for metric in METRICS},
}
_SIZES, _SPEEDS = ("params", "size_mb"), ("times_smaller", "times_faster")


@dataclass(frozen=True)
class Cell:
    """One value.

    Attributes:
        text: what is shown.
        value: the value in the file as JSON, exactly; "" if it was computed here.
        is_best: of the students, in quality.
    """

    text: str
    value: str = ""
    is_best: bool = False


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
        keys: the rows' keys, a column each; "" for one that was computed here.
        rows: (name of the checkpoint, name, cells), a cell for each key.
        notes: (key, what is the same in all rows, exact value).
    """

    keys: list[str]
    titles: list[str]
    rows: list[tuple[str, str, list[Cell]]]
    notes: list[tuple[str, Cell]]


def results_table(rows: Sequence[Row], stems: Sequence[str]) -> Table:
    """The rows of `lightpaff evaluate`, every value of them: in a column or, where it is the same
    in all rows and tells of the test, in a note.

    Args:
        stems: the names of the checkpoints, one a row.
    """
    keys = _columns(rows)
    same = [k for k in keys if _tells_of_the_test(k) and len({_exact(r.get(k)) for r in rows}) == 1]
    keys = [key for key in keys if key not in same]
    metric = quality_of(rows)
    best = _best_students(rows, metric)
    table = Table(
        keys,
        [title(key) for key in keys],
        [
            (stem, str(row["name"]), [cell(row, key, (i, key) in best) for key in keys])
            for i, (stem, row) in enumerate(zip(stems, rows, strict=True))
        ],
        [(title(key), Cell(_shown(key, rows[0][key]), _exact(rows[0][key]))) for key in same],
    )
    _add_gain(table, rows, metric)
    return table


def _columns(rows: Sequence[Row]) -> list[str]:
    """Sizes, quality, speed, ratios, and behind them whatever else there is."""
    found = list(dict.fromkeys(key for row in rows for key in row if key not in ("name", "path")))
    quality = [metric.key for metric in METRICS if metric.key in found]
    front = [key for key in _SIZES if key in found] + quality
    back = [k for k in found if "_per_s" in k] + [k for k in _SPEEDS if k in found]
    rest = [key for key in found if key not in front and key not in back]
    return [*front, *back, *rest]


def _tells_of_the_test(key: str) -> bool:
    return key in _COUNTS or key.endswith("_signature")


def title(key: str) -> str:
    """A key for the reader."""
    if key.endswith("_runs"):
        return "runs"
    return _TITLES.get(key, key.replace("_", " ").replace(" bleu", " BLEU"))


def _best_students(rows: Sequence[Row], metric: Metric | None) -> set[tuple[int, str]]:
    """(row, key) of the best value; several where they are equal."""
    if metric is None or len(rows) < 3:
        return set()
    values = [row[metric.key] for row in rows[1:]]
    best = max(values) if metric.higher_is_better else min(values)
    return {(i, metric.key) for i, value in enumerate(values, 1) if value == best}


def cell(row: Row, key: str, is_best: bool = False) -> Cell:
    """A value of a row; a dash where it has none."""
    return Cell(_shown(key, row[key]), _exact(row[key]), is_best) if key in row else Cell("–")


def _exact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _shown(key: str, value: Any) -> str:
    if isinstance(value, list) and value and all(is_number(x) for x in value):
        ends = [f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in (min(value), max(value))]
        return "–".join(dict.fromkeys(ends))
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if is_number(value):
        write = _WRITERS.get(key)
        return write(value) if write else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return value if isinstance(value, str) else _exact(value)


def _add_gain(table: Table, rows: Sequence[Row], metric: Metric | None) -> None:
    """One more column: by how much each model is better than the student without distillation, of
    several seeds their mean."""
    models = over_seeds(rows, metric) if metric else []
    plain = undistilled(models)
    if plain is None or metric is None:
        return
    place = table.keys.index(metric.key) + 1
    table.keys.insert(place, "")
    mean = f" (mean of {plain['trainings']})" if plain["trainings"] > 1 else ""
    table.titles.insert(place, f"gain over {plain['name']}{mean}")
    for row, (_, _, cells) in zip(rows, table.rows, strict=True):
        gain = metric.gain(row[metric.key], plain[metric.key])
        is_itself = not mean and row["name"] == plain["name"]
        cells.insert(place, Cell("" if is_itself else f"{gain:+.{metric.digits}f}"))


def sweep_table(sweep: Sweep) -> Table:
    """Every training of a sweep, the best first; the results stand in front of the axes."""
    skip = ("name", "flags", "flags_key")
    keys = list(dict.fromkeys(key for row in sweep.rows for key in row if key not in skip))
    first = [key for key in keys if sweep.base and key.endswith(f"_{sweep.metric}")]
    order = [*first, *sweep.base, "seed", "parameters"]
    keys = [k for k in order if k in keys] + [k for k in keys if k not in order]
    found = list(sweep.rows)
    if first and all(is_number(row.get(first[0])) for row in found):
        found.sort(key=lambda row: row[first[0]], reverse=sweep.metric not in LOWER_IS_BETTER)
    rows = [(str(row["name"]), str(row["name"]), [cell(row, key) for key in keys]) for row in found]
    return Table(keys, [title(key) for key in keys], rows, [])
