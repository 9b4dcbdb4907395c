"""The plug-in's own extension points in fairseq's trainer; `compat` repairs faults instead."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fairseq import checkpoint_utils
from fairseq.data.iterators import EpochBatchIterator
from fairseq.distributed import utils as distributed_utils
from fairseq.trainer import Trainer
from torch import nn

from .checkpoints.integrity import corruption
from .checkpoints.legacy import rename_criterion
from .checkpoints.save_dir_lock import lock_save_dir
from .compat.patching import Change, patch
from .launch_checks import (
    check_criterion,
    check_launch,
    check_launch_config,
    check_validation_sizes,
)
from .protocols import DUMMY_BATCH, PREPARED
from .provenance import log_provenance
from .resuming import (
    WORLD_SIZE,
    check_position,
    check_restore_file,
    explain,
    warn_of_other_batches,
    world_size,
)
from .teachers.prepared_batch import PreparedBatch, PreparingCollater
from .training_state import (
    gather_state_of_criterion,
    restore_state_of_criterion,
    save_state_of_criterion,
)

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
class PreparesBatches(Protocol):
    """A criterion that `prepare_batches_in_loader` lets add to the batches of training."""

    def prepare_batches(self, collate: Callable[[Any], Any]) -> PreparingCollater:
        """Return the function that makes batches in place of fairseq's."""


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
    without `--update-epoch-batch-itr` (other batches than the undisturbed run's); a position inside
    an epoch of another number of processes is an error; so are validation samples that are too
    long, which fairseq notices after the first epoch; and a criterion
    with a method `before_training` is called, so that a bad teacher stops the run before its first
    update. The log gets the command line, versions and configuration.
    """
    check_launch_config(self.cfg)
    check_validation_sizes(self.cfg, self.task, self.model)
    check_restore_file(self.cfg.checkpoint, filename)
    log_provenance(self.cfg)
    criterion = self.get_criterion()
    if isinstance(criterion, PreparesForTraining):
        criterion.before_training(self.model, self.get_num_updates, reset_optimizer)
    try:
        extra_state = original(self, filename, reset_optimizer, *args, **kwargs)
    except Exception as error:
        explain(error, self.cfg.checkpoint, filename, self.model)
        raise
    if not (reset_optimizer or self.cfg.checkpoint.reset_dataloader):
        check_position(self.cfg, extra_state, filename)
        warn_of_other_batches(self.cfg, extra_state)
        restore_state_of_criterion(criterion, extra_state)
    return extra_state


@patch(Trainer, "begin_epoch")
def begin_epoch_of_criterion(original: Callable[..., None], self: Any, epoch: int) -> None:
    """Tell a criterion with a method `begin_epoch` which epoch begins, its data loaded.

    Then, all checks passed, a second run that trains into `--save-dir` is refused.
    fairseq tells data sets and tasks only; masks, and with them cached soft targets, differ.
    """
    criterion = self.get_criterion()
    if isinstance(criterion, FollowsEpochs):
        criterion.begin_epoch(epoch, self.cfg.dataset.train_subset)
    _lock(self.cfg)
    original(self, epoch)


@patch(Trainer, "valid_step")
def validate_as_served(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    """Validate, and generate for `--eval-bleu`, with the weights that a criterion trains for."""
    criterion = self.get_criterion()
    is_served = isinstance(criterion, ValidatesAsServed)
    with criterion.served_weights(self.model) if is_served else nullcontext():
        return original(self, *args, **kwargs)


@patch(Trainer, "get_train_iterator")
def prepare_batches_in_loader(
    original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any
) -> Any:
    """Let a criterion add to the batches of training what it needs to know, as they are made.

    The loader's workers look soft targets up, count labels and pin memory, while the GPU computes.
    """
    batches, criterion = original(self, *args, **kwargs), self.get_criterion()
    collate: Any = getattr(batches, "collate_fn", None)  # some tasks have iterators of their own
    is_prepared = collate is None or isinstance(collate, PreparingCollater)  # since an epoch before
    if isinstance(criterion, PreparesBatches) and not is_prepared:
        batches.collate_fn = criterion.prepare_batches(collate)
    return batches


@patch(EpochBatchIterator, "_get_iterator_for_epoch")
def tell_loader_the_epoch(
    original: Callable[..., Any], self: Any, epoch: int, *args: Any, **kwargs: Any
) -> Any:
    """Tell the loader which epoch's batches it makes: fairseq's workers outlive epochs."""
    if isinstance(self.collate_fn, PreparingCollater):
        self.collate_fn.begin_epoch(epoch)
    return original(self, epoch, *args, **kwargs)


@patch(Trainer, "_prepare_sample")
def mark_dummy_batches(
    original: Callable[..., tuple[Any, bool]], self: Any, sample: Any, *args: Any, **kwargs: Any
) -> tuple[Any, bool]:
    """Mark the batch that a process without batches left repeats, of another epoch or validation.

    fairseq multiplies its loss by 0, but the criterion must compute one and cannot tell: what is
    looked up by sample number and masks is not there. To other batches' devices, what was prepared
    of them follows.
    """
    prepared, is_dummy = original(self, sample, *args, **kwargs)
    if is_dummy:
        return {**prepared, DUMMY_BATCH: True}, is_dummy
    if isinstance(prepared.get(PREPARED), PreparedBatch):
        follows = prepared[PREPARED].moved(prepared["target"])
        prepared = {**prepared, PREPARED: follows}
    return prepared, is_dummy


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
    if isinstance(state.get("extra_state"), dict):
        state["extra_state"][WORLD_SIZE] = world_size(state.get("cfg"))
    return state


HOOKS: tuple[Change, ...] = (
    check_launch,
    check_criterion,
    check_before_training,
    gather_state_of_criterion,
    save_state_of_criterion,
    begin_epoch_of_criterion,
    validate_as_served,
    prepare_batches_in_loader,
    tell_loader_the_epoch,
    mark_dummy_batches,
    check_and_rename,
)


def install() -> None:
    """Install every hook; a second call changes nothing."""
    for hook in HOOKS:
        hook.apply()


def _lock(cfg: Any) -> None:
    """Lock --save-dir for the one process that writes into it."""
    folder = cfg.checkpoint.save_dir
    writes = distributed_utils.is_master(cfg.distributed_training) and not cfg.checkpoint.no_save
    if writes and "://" not in folder:
        lock_save_dir(Path(folder))
