"""Checkpoints of older versions: of fairseq 0.10 (released BART, RoBERTa, WMT), of plug-in 0.1."""

import logging
from typing import Any

import fairseq.criterions as criterions

from .building import apply_arch_defaults, build, dummy_task, heads_in, value_of

OLD = "an old checkpoint"
logger = logging.getLogger(__name__)


def upgrade_checkpoint(state: dict[str, Any]) -> None:
    """Give an old checkpoint the names and the complete configuration that today's have.

    Old ones carry their command line (`args`) instead of a configuration, without the flags that
    came later, and tensors under former names (`decoder.sentence_encoder`, `in_proj_weight`).
    fairseq renames them whenever it loads them into a model; here it does so once, for what reads
    tensors.

    Args:
        state: as fairseq loads it; `cfg` and `model` are brought up to date. One without `args` is
            left alone, and so is a model that dictionaries are not enough to build: only its task
            can tell, and does when the model is needed.
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
    """Give a checkpoint of plug-in 0.1 the name that the class of its criterion has today.

    The class of `kd_ss` was `KdSs` then, and so on. Every other checkpoint is left alone.
    """
    name = str(value_of(value_of(state.get("cfg"), "criterion"), "_name"))
    former = "".join(part.capitalize() for part in name.split("_"))
    for entry in state.get("optimizer_history") or ():
        if name.startswith("kd_") and entry.get("criterion_name") == former:
            entry["criterion_name"] = criterions.CRITERION_REGISTRY[name].__name__
