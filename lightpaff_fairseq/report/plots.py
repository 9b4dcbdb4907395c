"""The plots of the page. Each is returned as SVG text with a description in words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .curves import TITLES, Panel
from .logs import Curve, Log
from .quality import Metric, Row, is_number
from .style import Style, styles
from .svg import PAPER, TEXT, figure, inline, standalone
from .sweep import LOWER_IS_BETTER, Sweep

WIDTH, HEIGHT = 4.7, 3.0  # inches of a plot; a phone shows it at about this size
FEW = 30  # points of a curve up to which each gets a marker

KL_SPARSITY = ("kd_loss", "prune_sparsity")


def tradeoff(
    rows: Sequence[Row],
    axis: tuple[str, str],
    metric: Metric,
    looks: Sequence[Style],
    name: str,
) -> str:
    """Quality against size or speed: a marker a model, better is up, logarithmic to the right.

    Args:
        rows: all have the metric.
        axis: the key of the horizontal axis and its title; a key with `_runs` beside it shows the
            range of the runs as a line.
        looks: a style for each row.
    """
    key, title = axis
    pairs = zip(rows, looks, strict=True)
    visible = [(row, look) for row, look in pairs if is_number(row.get(key)) and row[key] > 0]
    shown = [row for row, _ in visible]
    with figure(WIDTH, HEIGHT) as (made, axes):
        for row, look in visible:
            runs = [x for x in row.get(f"{key}_runs", []) if is_number(x)]
            if len(runs) > 1:
                ends = [min(runs), max(runs)]
                axes[0].plot(ends, [row[metric.key]] * 2, color=look.color, alpha=0.5, lw=2)
            axes[0].plot(row[key], row[metric.key], **_open_marker(look, 10))
        axes[0].set_xscale("log")
        _plain_numbers(axes[0], [row[key] for row in shown])
        axes[0].margins(0.12)
        if not metric.higher_is_better:
            axes[0].invert_yaxis()
        axes[0].set_xlabel(title)
        axes[0].set_ylabel(metric.title)
        heading = f"{metric.title} and {title}"
        values = [f"{r['name']}: {metric.title} {r[metric.key]:g} at {r[key]:g}" for r in shown]
        return inline(made, heading, f"{title} to the right. {'; '.join(values)}.", name)


def _open_marker(look: Style, size: float) -> dict[str, Any]:
    """Hollow, so that equal models stay visible through each other."""
    return {
        "marker": look.marker,
        "markersize": size + (3 if look.marker == "*" else 0),
        "markerfacecolor": "none",
        "markeredgecolor": look.color,
        "markeredgewidth": 2,
        "linestyle": "none",
    }


def _plain_numbers(axes: Any, values: Sequence[float]) -> None:
    """Ticks of a logarithmic axis as `0.5 M`, at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    decades = math.log10(max(values) / min(values)) if values else 0
    steps = (1, 2, 5) if decades > 0.6 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8)
    axes.xaxis.set_major_locator(LogLocator(subs=steps if decades < 2.5 else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def short(x: float) -> str:
    """1500000 -> `1.5 M`."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(x) >= size:
            return f"{x / size:g}{unit}"
    return f"{x:g}"


def learning(panel: Panel, looks: Mapping[str, Style], labels: Mapping[str, str], name: str) -> str:
    """A metric over updates, a curve a model; where it is not a number the curve has a gap."""
    with figure(WIDTH, HEIGHT) as (made, axes):
        for model, curve in panel.curves.items():
            _draw(axes[0], curve, looks[model])
        axes[0].set_title(panel.title)
        axes[0].set_xlabel("updates")
        _limit(axes[0], panel.curves.values())
        ends = [f"{labels[m]}: {_last(curve)}" for m, curve in panel.curves.items()]
        return inline(made, f"{panel.title} over updates", f"At the end {'; '.join(ends)}.", name)


def _draw(axes: Any, curve: Curve, look: Style) -> None:
    marker = look.marker if len(curve) <= FEW else ""
    axes.plot(
        *(list(curve), list(curve.values())),
        color=look.color,
        linestyle=look.line,
        marker=marker,
        markersize=6 if look.marker == "*" else 4,
        markerfacecolor=PAPER,
    )


def _limit(axes: Any, curves: Any) -> None:
    """A first value far above the rest would flatten it: the axis then ends below it."""
    values = sorted(v for curve in curves for v in curve.values() if math.isfinite(v))
    if len(values) < 10:
        return
    low, high, most = values[0], values[-1], values[int(len(values) * 0.95)]
    if low >= 0 and high > 20 * max(most, 1e-9):
        axes.set_ylim(0, 2 * most)
        axes.text(0.98, 0.97, f"up to {high:.4g}", transform=axes.transAxes, ha="right", va="top")


def _last(curve: Curve) -> str:
    update, value = list(curve.items())[-1]
    return f"{value:g} at update {update}"


def sweep_panel(sweep: Sweep, axis: str, name: str) -> str:
    """The points on one axis of a sweep: a dot a seed, a bar at the mean, lines for comparison."""
    found = sorted(sweep.panels()[axis], key=lambda s: s.mean)
    if sweep.metric in LOWER_IS_BETTER:
        found.reverse()
    with figure(WIDTH, 1.1 + 0.3 * len(found)) as (made, axes):
        draw_students(axes[0], found)
        base = [s for s in found if s.label == sweep.base[axis]]
        for point in base:
            axes[0].axvline(point.mean, color=styles("b")["b"].color, ls="--", lw=1, label="base")
        teacher = sweep.teacher_quality
        if teacher is not None:
            axes[0].axvline(teacher, color=TEXT, ls=":", lw=1.4, label="teacher")
        axes[0].set_title(axis)
        axes[0].set_xlabel(TITLES.get(sweep.metric, sweep.metric))
        if base or teacher is not None:
            made.legend(loc="outside upper right", ncols=2, fontsize=8)
        means = [f"{s.label}: {s.mean:g}" for s in reversed(found)]
        return inline(
            made, f"{sweep.metric} by {axis}", f"Means, best first. {'; '.join(means)}.", name
        )


def draw_students(axes: Any, found: Sequence[Any]) -> None:
    """A line of dots a point, from the bottom up."""
    for i, point in enumerate(found):
        values = list(point.quality.values())
        axes.plot(values, [i] * len(values), "o", color=styles("b")["b"].color, alpha=0.6)
        axes.plot([point.mean], [i], "|", color=TEXT, markersize=14, markeredgewidth=2)
    axes.set_yticks(range(len(found)), [s.label for s in found])
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.grid(axis="y", visible=False)


def kl_sparsity(logs: Mapping[str, Log]) -> str:
    """Distillation loss and sparsity over updates, one above the other, as a file.

    Args:
        logs: label -> log; those of trainings that did not prune are shown above only.
    Raises:
        ValueError: names the logs without distillation loss, or none has a sparsity.
    """
    kl, sparsity = ({n: x.training_curve(m) for n, x in logs.items()} for m in KL_SPARSITY)
    missing = [f"{name} has no {KL_SPARSITY[0]}" for name, curve in kl.items() if not curve]
    if not any(sparsity.values()):
        missing.append(f"no log has {KL_SPARSITY[1]}")
    if missing:
        raise ValueError(
            "--plot kl_sparsity: expected logs of trainings with a teacher (kd_loss), at least one "
            f"of them of a prunable task (prune_sparsity), found {'; '.join(missing)}"
        )
    looks = styles(logs)
    names = ("distillation loss (bits a label)", "sparsity (% of parameters)")
    with figure(6.4, 5.0, rows=2) as (made, axes):
        for name in logs:
            _draw(axes[0], kl[name], looks[name])
            axes[0].lines[-1].set_label(name)
            if sparsity[name]:
                _draw(axes[1], {u: 100 * v for u, v in sparsity[name].items()}, looks[name])
        for panel, title in zip(axes, names, strict=True):
            panel.set_ylim(bottom=0)
            panel.set_title(title)
        axes[1].set_xlabel("updates")
        made.legend(loc="outside lower center", ncols=3)
        ends = [f"{name}: {_last(curve)}" for name, curve in sparsity.items() if curve]
        about = f"Above the distillation loss, below the sparsity. Sparsity of {'; '.join(ends)}."
        return standalone(made, "Distillation loss and sparsity over updates", about)
