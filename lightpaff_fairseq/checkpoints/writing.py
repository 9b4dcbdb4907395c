"""Write fairseq checkpoints, verified before they are renamed to their final name."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from ..disk_errors import name_output
from ..output_file import file_problem, replacing
from .building import build, heads_in
from .reading import first_line
from .state_dict import check_equal_tensors


def check_output(out: Path, overwrite: bool, source: Path, source_flag: str) -> None:
    """Refuse an `--out` that cannot be written.

    Args:
        overwrite: `out` may exist.
        source: the input, which must not be overwritten; `source_flag` names it.
    Raises:
        ValueError: its folder is missing or not writable, it is a folder or the source, or it
            exists and `overwrite` is false.
    """
    problem = file_problem(out, "--out", overwrite)
    if problem is None and out.exists() and source.exists() and out.samefile(source):
        problem = f"--out {out}: is the file of {source_flag}; choose another name"
    if problem is not None:
        raise ValueError(problem)


def write_checkpoint(
    state: dict[str, Any], path: Path, verify: Callable[[dict[str, Any]], None]
) -> None:
    """Write under a temporary name, read that back, and rename it into place.

    Args:
        state: what to store: tensors and plain Python values.
        path: where to.
        verify: gets what was read back, and raises where it is not what it should be.
    Raises:
        ValueError: the file needs classes that plain `torch.load` refuses; or from `verify`.
    """
    with name_output("--out", path), replacing(path) as temporary:
        with temporary.open("wb") as file:  # given a path, PyTorch writes its name into the file
            torch.save(state, file)
        verify(_load_as_stranger(temporary))


def _load_as_stranger(path: Path) -> dict[str, Any]:
    """Load as a process would that has allow-listed nothing."""
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"the file cannot be loaded safely: {first_line(error)}") from error
    finally:
        torch.serialization.add_safe_globals(allowed)
    return state


def verify_equal(expected: dict[str, Any], written: dict[str, Any]) -> None:
    """Compare tensors and configuration of a checkpoint that was read back.

    Raises:
        ValueError: they differ.
    """
    check_equal_tensors(expected["model"], written["model"])
    if written["cfg"] != expected["cfg"]:
        raise ValueError("the configuration was not read back as it was written")


def verify_loads(expected: dict[str, Any], task: Any, written: dict[str, Any]) -> None:
    """Compare what was read back, and load it into the model that its configuration describes.

    Raises:
        ValueError: they differ, or the model changes what it loads.
    """
    cfg = OmegaConf.create(written["cfg"]["model"])
    model = build(cfg, task, heads_in(written["model"]), "--out")
    verify_loads_into(model, expected, written)


def verify_loads_into(model: Any, expected: dict[str, Any], written: dict[str, Any]) -> None:
    """Compare what was read back, and load it into a model of its configuration.

    Raises:
        ValueError: they differ, or the model changes what it loads.
    """
    verify_equal(expected, written)
    cfg = OmegaConf.create(written["cfg"]["model"])
    model.load_state_dict(dict(written["model"]), strict=True, model_cfg=cfg)
    loaded = dict(model.state_dict())
    check_equal_tensors(_widened(expected["model"], loaded), loaded)


def _widened(tensors: dict[str, Any], loaded: dict[str, Any]) -> dict[str, Any]:
    """Return tensors in the types of a loaded model, which may be wider: float16 in float32."""
    types = {name: x.dtype for name, x in loaded.items()}
    return {
        name: x.to(types[name])
        if name in types and torch.promote_types(x.dtype, types[name]) == types[name]
        else x
        for name, x in tensors.items()
    }
