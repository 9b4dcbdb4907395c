"""The metrics of a distillation criterion in fairseq's log."""

import math
from collections.abc import Callable
from typing import Any

from fairseq import utils
from fairseq.logging import metrics

from ..losses.intermediate import INTERMEDIATE_LOSSES

ON_POLICY_LOSS = "kd_on_policy_loss"


def log_metrics(
    criterion: Any, stock: Callable[[list[dict[str, Any]]], None], logs: list[dict[str, Any]]
) -> None:
    """Log the metrics of an interval.

    Args:
        criterion: class with `extra_metrics` and `stock_ppl_is_of_loss`.
        stock: `reduce_metrics` of the stock criterion; used alone if nothing was distilled.
        logs: logging outputs of all batches and processes.
    """

    def total(name: str) -> Any:
        return sum(log.get(name, 0) for log in logs)

    positions = total("kd_positions")
    if logs and ON_POLICY_LOSS in logs[0]:
        _log_on_policy(total)
        return
    if positions == 0 or not criterion.stock_ppl_is_of_loss:
        stock(logs)
    if positions == 0:
        return
    if criterion.stock_ppl_is_of_loss:
        size = total("sample_size")
        metrics.log_scalar("loss", total("loss") / size / math.log(2), size, round=3)
        metrics.log_derived("ppl", lambda m: utils.get_perplexity(m["nll_loss"].avg))
    for name in criterion.extra_metrics:
        count = total("kd_selected") + total("kd_aligned") if name == "kd_loss" else 0
        count = count or positions
        metrics.log_scalar(name, total(name) / count / math.log(2), count, round=3)
    if "kd_aligned" in logs[0]:
        metrics.log_scalar("kd_aligned", total("kd_aligned") / positions, positions, round=3)
    for kind in INTERMEDIATE_LOSSES:
        if f"kd_{kind}" in logs[0]:
            metrics.log_scalar(f"kd_{kind}", total(f"kd_{kind}") / positions, positions, round=4)


def on_policy_log(log: dict[str, Any]) -> dict[str, Any]:
    """Return the logging output of a batch whose labels are the student's own, without them."""
    of_labels = ("kd_loss", "nll_loss", "n_correct", "total")
    return {**{k: v for k, v in log.items() if k not in of_labels}, ON_POLICY_LOSS: log["kd_loss"]}


def _log_on_policy(total: Callable[[str], Any]) -> None:
    """Log an update on outputs of the student, which has no task loss.

    Args:
        total: returns the sum of a key over batches and processes.
    """
    size, count = total("sample_size"), total("kd_selected") or total("kd_positions")
    metrics.log_scalar("loss", total("loss") / (size or 1) / math.log(2), size, round=3)
    loss = total(ON_POLICY_LOSS) / (count or 1) / math.log(2)
    metrics.log_scalar(ON_POLICY_LOSS, loss, count, round=3)
