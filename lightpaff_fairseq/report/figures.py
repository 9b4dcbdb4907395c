"""Plots of the page, as SVG text with a description."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .curve_points import Curve, Points
from .curves import TITLES, Panel
from .drawing import COLORS, PAPER, TEXT, Style, figure, inline_svg, standalone_svg, styles
from .log import TRAINING, Log
from .quality import Metric, Row, is_number
from .sweep import LOWER_IS_BETTER, Sweep

WIDTH, HEIGHT = 4.7, 3.0  # inches of a plot; a phone shows it at about this size
SMALLEST, LARGEST = 1e-300, 1e300  # numbers that matplotlib draws without overflow
CLIPPED = 3  # times the height of the later part, from which the first updates are cut off
MOST_MARKERS = 30  # points of a curve up to which each gets a marker


def tradeoff(
    rows: Sequence[Row], axis: tuple[str, str], metric: Metric, looks: Sequence[Style]
) -> str:
    """Plot quality against size or speed: a marker per model, better is up.

    Args:
        rows: all have the metric.
        axis: key and title of the horizontal axis, which is logarithmic; a key with `_runs` beside
            it shows the range of the runs as a line.
        looks: a style per row.
    """
    key, title = axis
    pairs = zip(rows, looks, strict=True)
    shown = [
        (row, look)
        for row, look in pairs
        if is_number(row.get(key)) and SMALLEST < row[key] < LARGEST > abs(row[metric.key])
    ]
    with figure(WIDTH, HEIGHT) as (drawn, (axes,)):
        for row, look in shown:
            stored = row.get(f"{key}_runs")
            runs = [x for x in stored if is_number(x)] if isinstance(stored, list) else []
            if len(runs) > 1:
                ends = [min(runs), max(runs)]
                axes.plot(ends, [row[metric.key]] * 2, color=look.color, alpha=0.5, lw=2)
            size = 13 if look.marker == "*" else 10
            # hollow, so that equal models stay visible through each other
            marker = {"marker": look.marker, "ms": size, "mfc": "none", "mew": 2, "ls": "none"}
            axes.plot(row[key], row[metric.key], **marker, color=look.color)
        axes.set(xscale="log", xlabel=title, ylabel=metric.title)
        _label_ticks(axes, [row[key] for row, _ in shown])
        axes.margins(0.12)
        if not metric.higher_is_better:
            axes.invert_yaxis()
        values = [f"{r['name']}: {metric.title} {r[metric.key]:g} at {r[key]:g}" for r, _ in shown]
        description = f"{title} to the right. {'; '.join(values)}."
        return inline_svg(drawn, f"{metric.title} and {title}", description)


def _label_ticks(axes: Any, values: Sequence[float]) -> None:
    """Label a logarithmic axis as `0.5 M`, at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    decades = math.log10(max(values) / min(values)) if values else 0
    steps = (1, 2, 5) if decades > 0.6 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8)
    axes.xaxis.set_major_locator(LogLocator(subs=steps if decades < 2.5 else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short_number(x)))


def short_number(x: float) -> str:
    """Return 1500000 as `1.5 M`."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(x) >= size:
            return f"{x / size:g}{unit}"
    return f"{x:g}"


def learning(panel: Panel, looks: Mapping[str, Style], labels: Mapping[str, str]) -> str:
    """Plot a metric over updates, a curve per model; a curve has a gap where it is not a number."""
    with figure(WIDTH, HEIGHT) as (drawn, (axes,)):
        for model, curve in panel.curves.items():
            _draw(axes, curve, looks[model])
        axes.set(xlabel="updates", title=panel.title)
        _limit(axes, panel.curves.values())
        ends = [f"{labels[m]}: {_last(curve)}" for m, curve in panel.curves.items()]
        description = f"At the end {'; '.join(ends)}."
        return inline_svg(drawn, f"{panel.title} over updates", description)


def _draw(axes: Any, curve: Points, look: Style, **options: Any) -> None:
    marker = look.marker if len(curve) <= MOST_MARKERS else ""
    size = 6 if look.marker == "*" else 4
    options |= {"color": look.color, "ls": look.line, "marker": marker, "ms": size, "mfc": PAPER}
    axes.plot(list(curve), list(curve.values()), **options)


def _limit(axes: Any, curves: Iterable[Points]) -> None:
    """Cut off the first tenth of the updates where it would flatten the rest; note its height.

    A perplexity falls from thousands to tens within the first updates.
    """
    points = [(u, v) for curve in curves for u, v in curve.items() if math.isfinite(v)]
    start = max((update for update, _ in points), default=0) / 10
    later = [value for update, value in points if update >= start]
    if len(points) < 4 or min(later) < 0:
        return
    low, top, high = min(later), max(later), max(value for _, value in points)
    if high - low > CLIPPED * max(top - low, 1e-9):
        margin = 0.1 * max(top - low, 1e-9 + abs(top) / 10)
        axes.set_ylim(low - margin, top + margin)
        where = {"transform": axes.transAxes, "ha": "right", "va": "top"}
        axes.text(0.98, 0.97, f"first updates: up to {high:.4g}", **where)


def _last(curve: Points) -> str:
    update, value = list(curve.items())[-1]
    return f"{value:g} at update {update}"


def sweep_panel(sweep: Sweep, axis: str) -> str:
    """Plot the points on one axis of a sweep, with lines for the base point and the teacher."""
    is_low_better = sweep.metric in LOWER_IS_BETTER
    points = sorted(sweep.panels()[axis], key=lambda s: s.mean, reverse=is_low_better)
    with figure(WIDTH, 1.1 + 0.3 * len(points)) as (drawn, (axes,)):
        draw_students(axes, points)
        base = [point for point in points if point.label == sweep.base[axis]]
        lines = [(point.mean, "--", COLORS[0], "base") for point in base]
        if sweep.teacher_quality is not None:
            lines.append((sweep.teacher_quality, ":", TEXT, "teacher"))
        for x, line, color, label in lines:
            axes.axvline(x, ls=line, lw=1.2, color=color, label=label)
        axes.set(title=axis, xlabel=TITLES.get(sweep.metric, sweep.metric))
        if lines:
            drawn.legend(loc="outside upper right", ncols=2, fontsize=8)
        means = [f"{s.label}: {s.mean:g}" for s in reversed(points)]
        description = f"Means, best first. {'; '.join(means)}."
        return inline_svg(drawn, f"{sweep.metric} by {axis}", description)


def draw_students(axes: Any, points: Sequence[Any]) -> None:
    """Draw a line per point, from the bottom up: a dot per seed, a bar at the mean."""
    for i, point in enumerate(points):
        values = list(point.quality.values())
        axes.plot(values, [i] * len(values), "o", color=COLORS[0], alpha=0.6)
        axes.plot([point.mean], [i], "|", color=TEXT, markersize=14, markeredgewidth=2)
    axes.set_yticks(range(len(points)), [s.label for s in points])
    axes.set_ylim(-0.6, len(points) - 0.4)
    axes.grid(axis="y", visible=False)


def kl_sparsity(logs: Mapping[str, Log]) -> str:
    """Plot distillation loss and sparsity over updates, one above the other, as a file.

    Args:
        logs: label -> log; runs without pruning appear in the upper plot only.
    Raises:
        ValueError: names the logs without distillation loss, or none has a sparsity.
    """
    kl, sparsity = (
        {name: log.curves[TRAINING].get(metric, Curve()) for name, log in logs.items()}
        for metric in ("kd_loss", "prune_sparsity")
    )
    missing = [f"{name} has no kd_loss" for name, curve in kl.items() if not curve]
    missing += [] if any(sparsity.values()) else ["no log has prune_sparsity"]
    if missing:
        raise ValueError(
            "--plot kl_sparsity: expected logs of training runs with a teacher (kd_loss), at least "
            f"one of them of a prunable task (prune_sparsity), got {'; '.join(missing)}"
        )
    percent = {n: {u: 100 * v for u, v in curve.items()} for n, curve in sparsity.items()}
    looks = styles(logs)
    with figure(6.4, 5.0, rows=2) as (drawn, axes):
        for name in logs:
            _draw(axes[0], kl[name], looks[name], label=name)
            _draw(axes[1], percent[name], looks[name])
        axes[0].set(ylim=(0, None), title="distillation loss (bits per label)")
        axes[1].set(ylim=(0, None), title="sparsity (% of parameters)", xlabel="updates")
        lines = axes[0].get_lines()  # given by hand: labels that begin with _ would be left out
        drawn.legend(lines, list(logs), loc="outside lower center", ncols=3)
        ends = [f"{name}: {_last(curve)}" for name, curve in sparsity.items() if curve]
        about = f"Above the distillation loss, below the sparsity. Sparsity of {'; '.join(ends)}."
        return standalone_svg(drawn, "Distillation loss and sparsity over updates", about)
