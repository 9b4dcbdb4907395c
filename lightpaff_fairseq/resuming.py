"""Check the checkpoint that a training starts from or continues."""

import logging
from pathlib import Path
from typing import Any

import torch
from fairseq.file_io import PathManager

from .checkpoints.building import value_of
from .checkpoints.integrity import corruption, has_checksums, newest_intact
from .checkpoints.reading import first_line
from .checkpoints.state_dict import MASKED, is_masked, loading_problem
from .pruning.layer_norm import KeptDimensions

WORLD_SIZE = "distributed_world_size"  # of the run that wrote a checkpoint, in its extra_state
logger = logging.getLogger(__name__)


def check_restore_file(checkpoint: Any, filename: str) -> None:
    """Raise ValueError if a file that the user asked for is not there, or corrupt."""
    flag = _flag_of(checkpoint, filename)
    if PathManager.isfile(filename):
        corrupt = corruption(Path(filename)) if Path(filename).is_file() else None
        if corrupt:
            raise ValueError(
                f"{flag} {filename}: corrupt: {corrupt}{_how_to_resume(flag, filename)}"
            )
    elif flag == "--continue-once":
        raise ValueError(f"--continue-once {filename}: no such file")
    elif checkpoint.restore_file != "checkpoint_last.pt":  # the default: nothing to resume yet
        raise ValueError(f"--restore-file {checkpoint.restore_file}: no such file")


def _flag_of(checkpoint: Any, filename: str) -> str:
    """Return the flag that made fairseq load a file."""
    for name in ("continue_once", "finetune_from_model"):
        if filename == getattr(checkpoint, name):
            return f"--{name.replace('_', '-')}"
    return "--restore-file"


def _how_to_resume(flag: str, filename: str) -> str:
    """Name the newest checkpoint that could be resumed instead, as the end of a message."""
    if flag != "--restore-file":
        return ""
    newest = newest_intact(Path(filename))
    if newest is None:
        return (
            "; no other checkpoint*.pt in this folder is intact: remove this file to train from "
            "the beginning"
        )
    return f"; resume once from the newest intact checkpoint with --restore-file {newest}"


def explain(error: Exception, checkpoint: Any, filename: str, model: Any) -> None:
    """Raise ValueError with the mismatch behind fairseq's error, or for a file that is corrupt."""
    flag = _flag_of(checkpoint, filename)
    if "architectures match" not in str(error):
        if has_checksums(Path(filename)) or isinstance(error, AssertionError):  # it can be read
            return
        advice = _how_to_resume(flag, filename)
        raise ValueError(
            f"{flag} {filename}: cannot be read: {first_line(error)}{advice}"
        ) from error
    if isinstance(error.__context__, ValueError):
        raise error.__context__ from None
    state = torch.load(filename, map_location="cpu")
    maskable = any(isinstance(module, KeptDimensions) for module in model.modules())
    if is_masked(state["model"]) and not maskable:
        raise ValueError(f"{flag} {filename}: {MASKED}") from None
    reason = loading_problem(error.__context__ or error)
    raise ValueError(
        f"{flag} {filename}: expected weights of this --arch and its flags, got others: {reason}"
    ) from None


def world_size(cfg: Any) -> int | None:
    """Return the number of processes in a checkpoint's configuration; None: an old one."""
    section = value_of(cfg, "distributed_training")
    return None if section is None else value_of(section, WORLD_SIZE)


def check_position(cfg: Any, extra_state: Any, filename: str) -> None:
    """Raise ValueError for a place inside an epoch that the batches of this run do not have."""
    extra_state = extra_state or {}
    position, before = extra_state.get("train_iterator", {}), extra_state.get(WORLD_SIZE)
    batch = position.get("iterations_in_epoch", 0)
    now = cfg.distributed_training.distributed_world_size
    if batch and before not in (None, now):
        raise ValueError(
            f"{_flag_of(cfg.checkpoint, filename)} {filename}: was saved inside epoch "
            f"{position['epoch']}, after {batch} batches of each of {before} processes, but this "
            f"run has {now}: the rest of the epoch would be other samples. Continue with {before} "
            "processes until the epoch ends, give a checkpoint of the end of an epoch by "
            "--restore-file, or start with epoch 1 of the data again by --reset-dataloader"
        )


def warn_of_other_batches(cfg: Any, extra_state: Any) -> None:
    """Warn that a task groups sentences differently from the undisturbed run."""
    position = (extra_state or {}).get("train_iterator", {})
    if position.get("epoch", 1) > 1 and not cfg.dataset.update_epoch_batch_itr:
        logger.warning(
            "resuming after epoch 1: tasks that keep their batches across epochs (translation) now "
            "group sentences differently from the undisturbed run, unless both runs have "
            "--update-epoch-batch-itr True"
        )
