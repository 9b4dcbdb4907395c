"""Curves for a page: short enough to draw, with every extreme kept."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .configuration import task_of
from .logs import Curve, Log, shown_metrics

POINTS = 400  # a curve, about; more cannot be told apart on a screen

TITLES = {  # metric -> what it is; whatever else a criterion logs is shown under its own name
    "loss": "loss (bits)",
    "nll_loss": "nll (bits)",
    "label_loss": "label loss (bits)",
    "kd_loss": "distillation loss (bits)",
    "ppl": "perplexity",
    "accuracy": "accuracy (%)",
    "bleu": "BLEU",
    "kd_embedding": "distance of embeddings",
    "kd_hidden": "distance of hidden states",
    "kd_attention": "distance of attentions",
    "kd_relation": "distance of relations",
    "prune_sparsity": "sparsity",
}
_ORDER = list(TITLES)


@dataclass(frozen=True)
class Panel:
    """One plot: a metric of all models of a stage.

    Attributes:
        source: `training`, or the name of a validation set.
        curves: model -> curve.
    """

    source: str
    metric: str
    curves: Mapping[str, Curve]

    @property
    def title(self) -> str:
        """As `valid accuracy (%)`."""
        return f"{self.source}: {TITLES.get(self.metric, self.metric)}"


def stages(logs: Mapping[str, Log]) -> dict[str, list[str]]:
    """Task -> models that were trained on it; only their curves can be compared.

    Where a log does not tell, a name with `pretrained` is the first stage's, others the second's.
    """
    found: dict[str, list[str]] = {}
    for name, log in logs.items():
        guess = "pre-training" if "pretrained" in name else "training"
        found.setdefault(task_of(log.configuration) or guess, []).append(name)
    return found


def panels(logs: Mapping[str, Log]) -> list[Panel]:
    """A panel for each metric: first those of validation, then those of training."""
    found = []
    sets = dict.fromkeys(name for log in logs.values() for name in log.validation_sets)
    for source in sets:
        metrics = [m for log in logs.values() for m in log.metrics(source)]
        for metric in _ordered(shown_metrics(metrics)):
            curves = {n: log.curves.get((source, metric), {}) for n, log in logs.items()}
            found.append(_panel(source, metric, curves))
    metrics = [m for log in logs.values() for s in ("train_inner", "train") for m in log.metrics(s)]
    for metric in _ordered(shown_metrics(metrics)):
        curves = {n: log.training_curve(metric) for n, log in logs.items()}
        found.append(_panel("training", metric, curves))
    return [panel for panel in found if panel.curves]


def is_curve(panel: Panel) -> bool:
    """Whether any model has more than one point in it."""
    return any(len(curve) > 1 for curve in panel.curves.values())


def _ordered(metrics: Sequence[str]) -> list[str]:
    known = [m for m in _ORDER if m in metrics]
    return [*known, *(m for m in dict.fromkeys(metrics) if m not in known)]


def _panel(source: str, metric: str, curves: Mapping[str, Curve]) -> Panel:
    return Panel(source, metric, {name: thin(curve) for name, curve in curves.items() if curve})


def thin(curve: Curve, points: int = POINTS) -> Curve:
    """A curve of about so many points that has the first, the last and every extreme of the whole.

    The updates are cut into equal parts, of each the lowest and the highest value stay, and the
    first that is not a number, so that a gap stays one.
    """
    items = list(curve.items())
    if len(items) <= points:
        return dict(items)
    size = math.ceil(len(items) / (points // 2))
    kept = {items[0][0]: items[0][1], items[-1][0]: items[-1][1]}
    for start in range(0, len(items), size):
        part = items[start : start + size]
        finite = [item for item in part if math.isfinite(item[1])]
        if finite:
            kept |= dict((min(finite, key=_value), max(finite, key=_value)))
        kept |= dict([item for item in part if not math.isfinite(item[1])][:1])
    return dict(sorted(kept.items()))


def _value(item: tuple[int, float]) -> float:
    return item[1]
