"""Record in a training's own log how it was started, and with what."""

import json
import logging
import platform
import shlex
import sys
from argparse import Namespace
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from .flags import TRAINING_PREFIXES

LOGGER = "lightpaff_fairseq.provenance"  # `lightpaff report` looks for this name
PACKAGES = ("lightpaff-fairseq", "fairseq-fixed", "torch", "numpy")
SETTINGS = {  # section -> what of it describes a training; kd_* and prune_* of any section do too
    "task": ("_name", "data", "source_lang", "target_lang", "tokens_per_sample"),
    "model": ("_name", "arch"),
    "criterion": ("_name", "label_smoothing"),
    "optimization": ("lr", "max_update", "max_epoch", "update_freq", "clip_norm"),
    "dataset": ("max_tokens", "batch_size"),
    "optimizer": ("_name", "adam_betas", "weight_decay"),
    "lr_scheduler": ("_name", "warmup_updates"),
    "checkpoint": ("finetune_from_model", "restore_file"),
    "common": ("seed", "fp16", "bf16"),
    "distributed_training": ("distributed_world_size",),
}


def log_provenance(cfg: Any) -> None:
    """Write one line into the log: the JSON of `provenance`."""
    logging.getLogger(LOGGER).info(json.dumps(provenance(cfg), default=str))


def provenance(cfg: Any) -> dict[str, Any]:
    """Return `command` (quoted for a shell), `versions`, `machine` and `configuration`.

    Args:
        cfg: fairseq's resolved configuration.
    """
    program, *words = sys.argv
    versions = {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {
        "command": shlex.join([Path(program).name, *words]),
        "versions": {name: text for name, text in versions.items() if text is not None},
        "machine": f"{platform.system()} {platform.machine()}",
        "configuration": configuration(cfg),
    }


def version(name: str) -> str | None:
    """Return the version of an installed distribution; None where there is none.

    A fairseq that was copied into a folder of `PYTHONPATH` has no metadata: its module is asked.
    """
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        if name != "fairseq-fixed" or find_spec("fairseq") is None:
            return None
    return str(import_module("fairseq").__version__)


def configuration(cfg: Any) -> dict[str, Any]:
    """Return `section.name` -> value of what describes a training, without what is not set."""
    settings = {}
    for section, names in SETTINGS.items():
        values = _section(cfg.get(section))
        own = [n for n in values if n.startswith(TRAINING_PREFIXES) and section != "model"]
        for name in (*names, *own):
            if values.get(name) not in (None, "", [], 0, False):
                settings[f"{section}.{name}"] = values[name]
    return settings


def _section(node: Any) -> dict[str, Any]:
    """Return a section as a dictionary; that of a model may be a Namespace, or missing."""
    if isinstance(node, Namespace):
        return vars(node)
    if isinstance(node, DictConfig):
        values: Any = OmegaConf.to_container(node, resolve=True, enum_to_str=True)
        return dict(values)
    return {}
