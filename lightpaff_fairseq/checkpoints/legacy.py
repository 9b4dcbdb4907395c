"""Upgrade checkpoints of fairseq 0.10 (released BART, RoBERTa, WMT) and of plug-in 0.1."""

import logging
from typing import Any

import fairseq.criterions as criterions

from .building import apply_arch_defaults, build, dummy_task, heads_in, value_of

OLD = "an old checkpoint"
logger = logging.getLogger(__name__)


def upgrade_checkpoint(state: dict[str, Any]) -> None:
    """Give an old checkpoint current tensor names and a complete configuration.

    Old checkpoints have `args` instead of a configuration, without later flags, and tensors with
    former names (`decoder.sentence_encoder`, `in_proj_weight`), which fairseq only renames when it
    loads them into a model.

    Args:
        state: as fairseq loads it; `cfg` and `model` are upgraded in place. It is unchanged if it
            has no `args`, or if its model cannot be built from dictionaries alone.
    """
    if state.get("args") is None:
        return
    section, tensors = state["cfg"].model, dict(state["model"])
    try:
        apply_arch_defaults(section)
        task = dummy_task(tensors, OLD)
        model = build(section, task, heads_in(tensors), OLD)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        logger.info(f"the tensors of {OLD} keep their names: {error!r}")
        return
    model.upgrade_state_dict(tensors)
    state["model"] = tensors


def rename_criterion(state: dict[str, Any]) -> None:
    """Update the criterion's class name (`KdSs` for `kd_ss`) in a checkpoint of plug-in 0.1."""
    name = str(value_of(value_of(state.get("cfg"), "criterion"), "_name"))
    former = "".join(part.capitalize() for part in name.split("_"))
    for entry in state.get("optimizer_history") or ():
        if name.startswith("kd_") and entry.get("criterion_name") == former:
            entry["criterion_name"] = criterions.CRITERION_REGISTRY[name].__name__
