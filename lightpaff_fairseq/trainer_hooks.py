"""The plug-in's own extension points in fairseq's trainer; `compat` repairs faults instead."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from fairseq.trainer import Trainer
from torch import nn

from .checkpoints.integrity import corruption, has_checksums, newest_intact
from .checkpoints.legacy import rename_criterion
from .checkpoints.reading import first_line
from .checkpoints.state_dict import MASKED, is_masked, loading_problem
from .compat.patching import Change, patch
from .launch_checks import check_criterion, check_launch, check_launch_config
from .protocols import DUMMY_BATCH
from .provenance import log_provenance
from .pruning.layer_norm import KeptDimensions

logger = logging.getLogger(__name__)


@runtime_checkable
class PreparesForTraining(Protocol):
    """A criterion that `check_before_training` prepares."""

    def before_training(
        self, student: nn.Module, num_updates: Callable[[], int], starts_afresh: bool
    ) -> None:
        """Take the model in training, the count of updates, and whether the optimizer is new."""


@runtime_checkable
class FollowsEpochs(Protocol):
    """A criterion that `begin_epoch_of_criterion` informs."""

    def begin_epoch(self, epoch: int, split: str) -> None:
        """Take the number of an epoch, from 1, and the name of the training set."""


@runtime_checkable
class ValidatesAsServed(Protocol):
    """A criterion whose model `validate_as_served` runs with other weights."""

    def served_weights(self, model: nn.Module) -> AbstractContextManager[None]:
        """Return the block in which a model has the weights that it is served with."""


@patch(Trainer, "load_checkpoint")
def check_before_training(
    original: Callable[..., Any],
    self: Any,
    filename: str,
    reset_optimizer: bool = False,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Check a training, and prepare its criterion, in the one call that precedes every training.

    A `--restore-file` that does not exist is an error (fairseq logs it and trains from scratch); so
    is a corrupt one, whose message names the newest intact checkpoint;
    weights that do not fit name the parameter and both shapes; a warning points out resuming
    without `--update-epoch-batch-itr` (other batches than the undisturbed run's); and a criterion
    with a method `before_training` is called, so that a bad teacher stops the run before its first
    update. The log gets the command line, versions and configuration.
    """
    check_launch_config(self.cfg)
    _check_restore_file(self.cfg.checkpoint, filename)
    log_provenance(self.cfg)
    criterion = self.get_criterion()
    if isinstance(criterion, PreparesForTraining):
        criterion.before_training(self.model, self.get_num_updates, reset_optimizer)
    try:
        extra_state = original(self, filename, reset_optimizer, *args, **kwargs)
    except Exception as error:
        _explain(error, self.cfg.checkpoint, filename, self.model)
        raise
    if not (reset_optimizer or self.cfg.checkpoint.reset_dataloader):
        _warn_of_other_batches(self.cfg, extra_state)
    return extra_state


@patch(Trainer, "begin_epoch")
def begin_epoch_of_criterion(original: Callable[..., None], self: Any, epoch: int) -> None:
    """Tell a criterion with a method `begin_epoch` which epoch begins, its data loaded.

    fairseq tells data sets and tasks only; masks, and with them cached soft targets, differ.
    """
    criterion = self.get_criterion()
    if isinstance(criterion, FollowsEpochs):
        criterion.begin_epoch(epoch, self.cfg.dataset.train_subset)
    original(self, epoch)


@patch(Trainer, "valid_step")
def validate_as_served(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    """Validate, and generate for `--eval-bleu`, with the weights that a criterion trains for."""
    criterion = self.get_criterion()
    is_served = isinstance(criterion, ValidatesAsServed)
    with criterion.served_weights(self.model) if is_served else nullcontext():
        return original(self, *args, **kwargs)


@patch(Trainer, "_prepare_sample")
def mark_dummy_batches(
    original: Callable[..., tuple[Any, bool]], self: Any, sample: Any, *args: Any, **kwargs: Any
) -> tuple[Any, bool]:
    """Mark the batch that a process without batches left repeats, of another epoch or validation.

    fairseq multiplies its loss by 0, but the criterion must compute one and cannot tell: what is
    looked up by sample number and masks is not there.
    """
    prepared, is_dummy = original(self, sample, *args, **kwargs)
    return ({**prepared, DUMMY_BATCH: True} if is_dummy else prepared), is_dummy


@patch(checkpoint_utils, "load_checkpoint_to_cpu")
def check_and_rename(
    original: Callable[..., dict[str, Any]], path: Any, *args: Any, **kwargs: Any
) -> dict[str, Any]:
    """Refuse corrupt checkpoints, and let runs of version 0.1 be resumed.

    torch does not compare checksums. Criterions had other class names, and fairseq refuses to
    resume where the class name in the checkpoint is not the criterion's.
    """
    corrupt = corruption(Path(path)) if Path(path).is_file() else None
    if corrupt:
        raise ValueError(f"{path}: corrupt: {corrupt}")
    state = original(path, *args, **kwargs)
    rename_criterion(state)
    return state


HOOKS: tuple[Change, ...] = (
    check_launch,
    check_criterion,
    check_before_training,
    begin_epoch_of_criterion,
    validate_as_served,
    mark_dummy_batches,
    check_and_rename,
)


def install() -> None:
    """Install every hook; a second call changes nothing."""
    for hook in HOOKS:
        hook.apply()


def _check_restore_file(checkpoint: Any, filename: str) -> None:
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


def _explain(error: Exception, checkpoint: Any, filename: str, model: Any) -> None:
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


def _warn_of_other_batches(cfg: Any, extra_state: Any) -> None:
    position = (extra_state or {}).get("train_iterator", {})
    if position.get("epoch", 1) > 1 and not cfg.dataset.update_epoch_batch_itr:
        logger.warning(
            "resuming after epoch 1: tasks that keep their batches across epochs (translation) now "
            "group sentences differently from the undisturbed run, unless both runs have "
            "--update-epoch-batch-itr True"
        )
