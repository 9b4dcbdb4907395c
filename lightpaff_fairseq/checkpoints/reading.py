"""Reading and writing fairseq checkpoints: clear errors going in, no half files coming out."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils
from omegaconf import OmegaConf
from torch import Tensor

from ..pruning.layer_norm import MASKED, is_masked
from .building import build, heads_in
from .legacy import upgrade_checkpoint
from .output_file import file_problem, replacing

UNREADABLE = (RuntimeError, EOFError, OSError, pickle.UnpicklingError, UnicodeDecodeError)


def read_checkpoint(path: Path, flag: str, may_be_masked: bool = False) -> dict[str, Any]:
    """Loads a fairseq checkpoint to the CPU, brought up to date (see `upgrade_checkpoint`).

    Only classes that the plug-in allow-lists are unpickled (`compat`).

    Args:
        path: a file that fairseq-train wrote.
        flag: the flag that named it, for the error messages.
        may_be_masked: take a model of a prunable task from which units are pruned, too.
    Returns:
        the checkpoint; `model` is a state dict and `cfg` a DictConfig.
    Raises:
        ValueError: no such file, damaged, or not a fairseq checkpoint; or a masked model.
    """
    if not path.is_file():
        raise ValueError(f"{flag} {path}: no such file (expected a fairseq checkpoint)")
    try:
        state: dict[str, Any] = checkpoint_utils.load_checkpoint_to_cpu(str(path))
    except UNREADABLE as error:
        raise ValueError(
            f"{flag} {path}: expected a fairseq checkpoint, found a damaged or foreign file: "
            f"{_first_line(error)}"
        ) from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        lack = ""
        if isinstance(error, KeyError):
            lack = f", or one of another plug-in: {error} is missing or unknown"
        raise ValueError(
            f"{flag} {path}: expected a fairseq checkpoint, found another PyTorch file{lack}"
        ) from error
    model = state.get("model")
    if not isinstance(model, dict) or not all(isinstance(x, Tensor) for x in model.values()):
        raise ValueError(f"{flag} {path}: expected a fairseq checkpoint, found no model in it")
    if state.get("cfg") is None:
        raise ValueError(
            f"{flag} {path}: expected a fairseq checkpoint, found one that does not say which "
            "model it holds (neither cfg nor args)"
        )
    if is_masked(model) and not may_be_masked:
        raise ValueError(f"{flag} {path}: {MASKED}")
    upgrade_checkpoint(state)
    return state


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
        raise ValueError(f"the file cannot be loaded safely: {_first_line(error)}") from error
    finally:
        torch.serialization.add_safe_globals(allowed)
    return state


def check_equal_tensors(expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    """Compares two state dicts bit by bit (a NaN equals itself).

    Raises:
        ValueError: names all differing tensors.
    """
    wrong = expected.keys() ^ found.keys()
    for name in expected.keys() & found.keys():
        if not _same_bits(expected[name], found[name]):
            wrong.add(name)
    if wrong:
        raise ValueError(f"the written file differs from its source in: {', '.join(sorted(wrong))}")


def _same_bits(a: Tensor, b: Tensor) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(_bytes(a), _bytes(b))


def _bytes(x: Tensor) -> Tensor:
    return x.detach().contiguous().reshape(-1).view(torch.uint8)


def verify_loads(expected: dict[str, Any], task: Any, found: dict[str, Any]) -> None:
    """Compares all that was read back, and loads it into the model that its configuration says."""
    check_equal_tensors(expected["model"], found["model"])
    if found["cfg"] != expected["cfg"]:
        raise ValueError("the configuration was not read back as it was written")
    cfg = OmegaConf.create(found["cfg"]["model"])
    model = build(cfg, task, heads_in(found["model"]), "--out")
    model.load_state_dict(dict(found["model"]), strict=True, model_cfg=cfg)
    check_equal_tensors(expected["model"], dict(model.state_dict()))
