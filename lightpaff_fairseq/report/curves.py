"""Choose the learning curves to show, and what they can be compared with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .log import EPOCH, INTERVAL, Curve, Log

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
_MACHINERY = set(  # speed, sizes and the optimizer's own
    "wps ups wpb bsz lr gnorm clip train_wall wall gb_free loss_scale total cuda_gb_allocated "
    "cuda_gb_reserved cuda_gb_free".split()
)


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
        """A title as `valid: accuracy (%)`."""
        return f"{self.source}: {TITLES.get(self.metric, self.metric)}"

    @property
    def has_lines(self) -> bool:
        """Whether any model has more than one point."""
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
    sets = dict.fromkeys(name for log in logs.values() for name in log.validation_sets)
    made = [
        Panel(source, metric, {n: log.curves.get((source, metric), {}) for n, log in logs.items()})
        for source in sets
        for metric in _metrics(logs.values(), source)
    ]
    made += [
        Panel("training", metric, {n: log.training_curve(metric) for n, log in logs.items()})
        for metric in _metrics(logs.values(), INTERVAL, EPOCH)
    ]
    return [Panel(p.source, p.metric, {n: c for n, c in p.curves.items() if c}) for p in made]


def _metrics(logs: Iterable[Log], *sources: str) -> list[str]:
    """Return the metrics worth a plot, those of `TITLES` first."""
    logged = dict.fromkeys(m for log in logs for source in sources for m in log.metrics(source))
    worthy = [m for m in logged if m not in _MACHINERY and not m.startswith("best_")]
    return sorted(worthy, key=lambda m: list(TITLES).index(m) if m in TITLES else len(TITLES))
