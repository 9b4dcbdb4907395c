"""Checkpoints: torch's safe loading, and files of older versions."""

import argparse
import collections
import importlib
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
import omegaconf
import torch
from fairseq import checkpoint_utils
from fairseq.dataclass import utils as dataclass_utils
from fairseq.distributed import utils as distributed_utils

from .patching import change, patch


@change("torch.serialization.add_safe_globals", issues=(5603,))
def allow_checkpoint_classes() -> None:
    """Let torch's safe loading (the default since 2.6) read fairseq's own checkpoints.

    Namespace: every argparse-configured model. numpy: meters of `--eval-bleu`. omegaconf and the
    containers: the state that several resuming processes broadcast.
    """
    own_core = "_core" if hasattr(np, "_core") else "core"
    multiarray = importlib.import_module(f"numpy.{own_core}.multiarray")
    numpy_functions = [
        (getattr(multiarray, name), f"numpy.{core}.multiarray.{name}")
        for name in ("_reconstruct", "scalar")
        for core in ("core", "_core")
    ]
    dtypes = {type(np.dtype(code)) for code in "? b B h H i I l L q Q e f d".split()}
    nodes = [c for c in vars(omegaconf.nodes).values() if isinstance(c, type)]
    torch.serialization.add_safe_globals(
        [
            argparse.Namespace,
            np.ndarray,
            np.dtype,
            *numpy_functions,
            *sorted(dtypes, key=str),
            omegaconf.DictConfig,
            omegaconf.ListConfig,
            omegaconf.base.ContainerMetadata,
            omegaconf.base.Metadata,
            *(c for c in nodes if c.__module__ == omegaconf.nodes.__name__),
            typing.Any,
            collections.defaultdict,
            dict,
            list,
            int,
            distributed_utils._TensorPlaceholder,
        ]
    )


@patch(checkpoint_utils, "_upgrade_state_dict")
def complete_old_checkpoints(
    original: Callable[..., dict[str, Any]], state: dict[str, Any]
) -> dict[str, Any]:
    """Add the entry `criterion` that released models and older versions' checkpoints lack.

    fairseq fails on them with KeyError, even for `--finetune-from-model`, if the criterion in
    training has parameters, as the plug-in's have where layers are matched by projections.
    """
    upgraded = original(state)
    upgraded.setdefault("criterion", None)
    return upgraded


@patch(dataclass_utils, "_override_attr")
def keep_interpolated_booleans(
    original: Callable[..., list[str]], sub_node: str, data_class: Any, args: argparse.Namespace
) -> list[str]:
    """Keep the value of a flag that an old checkpoint (`args`, no `cfg`) does not know.

    Where a dataclass says `${common.use_plasma_view}` fairseq takes `bool` of that text, which is
    True: old language models then ask for a store that does not run. Left out here, the value is
    what the text refers to.
    """
    fields = getattr(data_class, "__dataclass_fields__", {})
    wrong = {
        f"{sub_node}.{name}"
        for name, field in fields.items()
        if not hasattr(args, name) and str(field.default).startswith("${")
    }
    overrides = original(sub_node, data_class, args)
    return [text for text in overrides if text.partition("=")[0] not in wrong]
