"""Write a fairseq checkpoint: what is not read back as it should be never gets its name."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from .building import build, heads_in
from .output_file import file_problem, replacing
from .reading import first_line
from .state_dict import check_equal_tensors


def check_output(path: Path, flag: str, overwrite: bool) -> None:
    """Refuses a place that cannot be written, before any work is done.

    Raises:
        ValueError: the folder is not there or not writable, `path` is a folder, or it exists and
            `overwrite` is not set.
    """
    problem = file_problem(path, flag, overwrite)
    if problem:
        raise ValueError(problem)


def write_checkpoint(
    state: dict[str, Any], path: Path, verify: Callable[[dict[str, Any]], None]
) -> None:
    """Writes under a temporary name, reads that back, and renames it into place.

    Args:
        state: what to store: tensors and plain Python values.
        path: where to.
        verify: sees what was read back, and raises where it is not what it should be.
    Raises:
        ValueError: the file needs classes that plain `torch.load` refuses; or from `verify`.
    """
    with replacing(path) as temporary:
        torch.save(state, temporary)
        verify(_load_as_stranger(temporary))


def _load_as_stranger(path: Path) -> dict[str, Any]:
    """Loads as a process would that has allow-listed nothing."""
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"the file cannot be loaded safely: {first_line(error)}") from error
    finally:
        torch.serialization.add_safe_globals(allowed)
    return state


def verify_loads(expected: dict[str, Any], task: Any, found: dict[str, Any]) -> None:
    """Compares all that was read back, and loads it into the model that its configuration says."""
    check_equal_tensors(expected["model"], found["model"])
    if found["cfg"] != expected["cfg"]:
        raise ValueError("the configuration was not read back as it was written")
    cfg = OmegaConf.create(found["cfg"]["model"])
    model = build(cfg, task, heads_in(found["model"]), "--out")
    model.load_state_dict(dict(found["model"]), strict=True, model_cfg=cfg)
    check_equal_tensors(expected["model"], dict(model.state_dict()))
