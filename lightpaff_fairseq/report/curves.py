"""Choose the learning curves to show, and what they can be compared with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .curve_points import Points
from .log import TRAINING, Log

TITLES = {  # metric -> title; whatever else a criterion logs is shown under its own name
    "loss": "loss (bits)",
    "nll_loss": "nll (bits)",
    "label_loss": "task loss (bits)",
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


@dataclass(frozen=True)
class Panel:
    """One plot: a metric of all models of a stage.

    Attributes:
        source: `training`, or the name of a validation set.
        curves: model -> curve.
    """

    source: str
    metric: str
    curves: Mapping[str, Points]

    @property
    def title(self) -> str:
        """A title as `valid: accuracy (%)`."""
        return f"{self.source}: {TITLES.get(self.metric, self.metric)}"

    @property
    def has_lines(self) -> bool:
        """True if any model has more than one point."""
        return any(len(curve) > 1 for curve in self.curves.values())


def stages(logs: Mapping[str, Log]) -> dict[str, list[str]]:
    """Map every task to the models that were trained on it; only their curves can be compared.

    Where a log does not tell, a name with `pretrained` is the first stage's, others the second's.
    """
    models: dict[str, list[str]] = {}
    for name, log in logs.items():
        guess = "pre-training" if "pretrained" in name else "training"
        models.setdefault(log.task or guess, []).append(name)
    return models


def panels(logs: Mapping[str, Log]) -> list[Panel]:
    """Return a panel per metric: first those of validation, then those of training."""
    sources = dict.fromkeys(source for log in logs.values() for source in log.curves)
    panels = []
    for source in sorted(sources, key=lambda source: source == TRAINING):
        logged = {name: log.curves.get(source, {}) for name, log in logs.items()}
        for metric in _worth_a_plot(metric for metrics in logged.values() for metric in metrics):
            curves = {name: m[metric] for name, m in logged.items() if metric in m}
            panels.append(Panel(source, metric, curves))
    return panels


def _worth_a_plot(metrics: Iterable[str]) -> list[str]:
    """Return the metrics of the training itself, those of `TITLES` first."""
    shown = [m for m in dict.fromkeys(metrics) if m != "wall" and m[:5] != "best_"]
    return sorted(shown, key=lambda m: list(TITLES).index(m) if m in TITLES else len(TITLES))
