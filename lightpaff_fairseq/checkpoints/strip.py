"""Strip checkpoints of optimizer state and plug-in flags, for stock fairseq."""

import argparse
import enum
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import fairseq.criterions as criterions
import fairseq.models as models
import fairseq.tasks as tasks
import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from ..flags import TRAINING_PREFIXES
from .reading import read_checkpoint
from .writing import check_output, verify_equal, write_checkpoint

DTYPES = {"float32": torch.float32, "float16": torch.float16}
PRUNABLE = "prunable_"  # prefix of a task of this plug-in that extends the task of the same name


def strip_checkpoint(
    source: Path, out: Path, overwrite: bool = False, dtype: str | None = None
) -> list[str]:
    """Write a checkpoint with primitive configuration and without optimizer state.

    fairseq loads the result without allow-listed classes. Every tensor is verified before the file
    is renamed to `out`.

    Args:
        source: a fairseq checkpoint.
        out: the file to write; its folder exists.
        overwrite: replace `out` if it exists.
        dtype: of the weights, one of `DTYPES`; None: as they are.
    Returns:
        the parts that stock fairseq does not know, see `plugin_parts`.
    Raises:
        ValueError: `source` is missing or cannot be used, or `out` cannot be written.
    """
    check_output(out, overwrite, source, "--path")
    state = read_checkpoint(source, "--path")
    stripped = stripped_state(state)
    if dtype is not None:
        stripped["model"] = converted(stripped["model"], DTYPES[dtype])
    write_checkpoint(stripped, out, partial(verify_equal, stripped))
    return plugin_parts(stripped["cfg"])


def converted(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Convert the floating-point tensors of a state dict; tied ones stay tied.

    Raises:
        ValueError: a weight is too large for `dtype`.
    """
    copies: dict[tuple[Any, ...], Tensor] = {}
    result = {}
    for name, tensor in tensors.items():
        place = tensor.data_ptr(), tensor.shape, tensor.stride()
        if place not in copies:
            copies[place] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        result[name] = copies[place]
        if tensor.isfinite().all() and not result[name].isfinite().all():
            raise ValueError(
                f"--dtype {str(dtype).removeprefix('torch.')}: {name} has a weight of "
                f"{tensor.abs().max():g}, too large for it"
            )
    return result


def stripped_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return the stripped checkpoint, for inference, fine-tuning and teachers.

    The trainer reads `optimizer_history` (its last entry: number of updates) and `extra_state`
    (position 0 of epoch 1); without `last_optimizer_state` it leaves the optimizer alone.
    """
    last = state["optimizer_history"][-1]
    history = {
        "criterion_name": last.get("criterion_name"),
        "optimizer_name": last.get("optimizer_name"),
        "lr_scheduler_state": {},
        "num_updates": int(last.get("num_updates", 0)),
    }
    position = {"version": 2, "epoch": 1, "iterations_in_epoch": 0, "shuffle": True}
    return {
        "args": None,
        "cfg": stock_config(to_primitive(state["cfg"], "cfg")),
        "model": state["model"],
        "criterion": None,
        "optimizer_history": [history],
        "task_state": to_primitive(state.get("task_state") or {}, "task_state"),
        "extra_state": {"train_iterator": position},
    }


def to_primitive(value: Any, name: str) -> Any:
    """Convert Namespace, OmegaConf, Enum, Path and numpy values to dicts, lists and scalars.

    Raises:
        ValueError: a value of another type; `name` is the path to it.
    """
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=True, enum_to_str=True)
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, dict):
        return {key: to_primitive(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [to_primitive(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Path):
        return str(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, bool | int | float | str):  # a subclass, as fairseq's string choices
        return next(kind(value) for kind in (bool, int, float, str) if isinstance(value, kind))
    raise ValueError(
        f"{name}: expected a primitive value, got an instance of {type(value).__name__}"
    )


def stock_config(cfg: dict[str, Any]) -> dict[str, Any]:
    """Return a primitive configuration for stock fairseq.

    A criterion of this plug-in becomes the stock criterion that it extends (and equals in
    validation), a prunable task the task that it extends, and an architecture of any plug-in on a
    stock model the model (all its values are in the configuration). Flags of distillation and
    pruning and `user_dir` are removed.
    """
    cfg = _without_private(cfg)
    name = (cfg.get("criterion") or {}).get("_name")
    stock = stock_criterion(name)
    if stock != name:
        known = criterions.CRITERION_DATACLASS_REGISTRY[stock]
        cfg["criterion"] = _section_of(known, cfg["criterion"], stock)
    task = str(cfg["task"].get("_name"))
    if task.startswith(PRUNABLE):
        stock_task = task.removeprefix(PRUNABLE)
        known = tasks.TASK_DATACLASS_REGISTRY[stock_task]
        cfg["task"] = _section_of(known, cfg["task"], stock_task)
    model = cfg["model"]
    model["_name"] = stock_architecture(model.get("_name") or model.get("arch"))
    for section in cfg.values():  # legacy sections hold the whole command line
        if not isinstance(section, dict):
            continue
        if section.get("criterion") == name and name:
            section["criterion"] = stock
        if "arch" in section:
            section["arch"] = model["_name"]
        if isinstance(section.get("task"), str):
            section["task"] = section["task"].removeprefix(PRUNABLE)
    return cfg


def _section_of(known: Any, section: dict[str, Any], name: str | None) -> dict[str, Any]:
    """Return the fields of a section that a stock dataclass has too, under the stock name."""
    fields = known.__dataclass_fields__
    return {**{key: value for key, value in section.items() if key in fields}, "_name": name}


def _without_private(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        key: None if key == "user_dir" else _without_private(item)
        for key, item in value.items()
        if not str(key).startswith(TRAINING_PREFIXES)
    }


def stock_criterion(name: str | None) -> str | None:
    """Return the stock criterion that `name` is or extends, or `name` if there is none."""
    registry = criterions.CRITERION_REGISTRY
    for base in getattr(registry.get(name), "__mro__", ()):
        if _is_stock(base):
            names = [key for key, value in registry.items() if value is base]
            return names[0] if names and name not in names else name
    return name


def stock_architecture(arch: str) -> str:
    """Return `arch`, or the name of fairseq's model if a plug-in defines that architecture."""
    fill = models.ARCH_CONFIG_REGISTRY.get(arch)
    if fill is None or _is_stock(fill) or not _is_stock(models.ARCH_MODEL_REGISTRY[arch]):
        return arch
    return str(models.ARCH_MODEL_NAME_REGISTRY[arch])


def _is_stock(part: Any) -> bool:
    return str(getattr(part, "__module__", "")).split(".")[0] == "fairseq"


def plugin_parts(cfg: dict[str, Any]) -> list[str]:
    """Return the parts of a configuration that stock fairseq lacks: `["task masked_seq2seq", ...]`.

    Unknown parts count as well.
    """
    model, task = cfg["model"]["_name"], cfg["task"].get("_name") or cfg["task"].get("task")
    model_class = models.ARCH_MODEL_REGISTRY.get(model) or models.MODEL_REGISTRY.get(model)
    parts = {f"model {model}": model_class, f"task {task}": tasks.TASK_REGISTRY.get(task)}
    return [name for name, part in parts.items() if not _is_stock(part)]
