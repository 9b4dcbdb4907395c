"""The moment between building models and the first update."""

import functools
import logging
from typing import Any

import torch
from fairseq.file_io import PathManager
from fairseq.trainer import Trainer

from .compat.batches import mark_dummy_batches
from .compat.epochs import tell_epochs
from .launch_checks import check_launch, check_launch_of
from .provenance import log_provenance
from .pruning.layer_norm import MASKED, KeptDimensions, is_masked
from .teachers.loading import first_mismatch

logger = logging.getLogger(__name__)


def install() -> None:
    """Install every hook; a second call changes nothing."""
    check_launch()
    check_before_training()
    mark_dummy_batches()
    tell_epochs()


def check_before_training() -> None:
    """Hooks into the one call that precedes every training: `Trainer.load_checkpoint`.

    A `--restore-file` that does not exist is an error (fairseq logs it and trains from scratch);
    weights that do not fit name the parameter and both shapes; resuming without
    `--update-epoch-batch-itr` is pointed out (other batches than the undisturbed run's); and a
    criterion with a method `before_training` is called, so that a bad teacher stops the run
    before its first update. The log gets the command line and versions, which fairseq leaves out.
    """
    original = Trainer.load_checkpoint
    if getattr(original, "checks_before_training", False):
        return

    @functools.wraps(original)
    def load_checkpoint(
        self: Any, filename: str, reset_optimizer: bool = False, *args: Any, **kwargs: Any
    ) -> Any:
        check_launch_of(self.cfg)
        _check_restore_file(self.cfg.checkpoint, filename)
        log_provenance()
        prepare = getattr(self.get_criterion(), "before_training", None)
        if prepare is not None:
            prepare(self.model, self.get_num_updates, reset_optimizer)
        try:
            extra_state = original(self, filename, reset_optimizer, *args, **kwargs)
        except Exception as error:
            _explain(error, filename, self.model)
            raise
        if not (reset_optimizer or self.cfg.checkpoint.reset_dataloader):
            _warn_of_other_batches(self.cfg, extra_state)
        return extra_state

    load_checkpoint.checks_before_training = True  # type: ignore[attr-defined]
    Trainer.load_checkpoint = load_checkpoint


def _check_restore_file(checkpoint: Any, filename: str) -> None:
    """Raises ValueError if a file that the user asked for is not there."""
    if PathManager.isfile(filename):
        return
    if filename == getattr(checkpoint, "continue_once", None):
        raise ValueError(f"--continue-once {filename}: no such file")
    if checkpoint.restore_file != "checkpoint_last.pt":  # the default: nothing to resume yet
        raise ValueError(f"--restore-file {checkpoint.restore_file}: no such file")


def _explain(error: Exception, filename: str, model: Any) -> None:
    """Says which parameter does not fit where fairseq only asks for matching architectures."""
    if "architectures match" not in str(error):
        return
    if isinstance(error.__context__, ValueError):
        raise error.__context__ from None
    state = torch.load(filename, map_location="cpu")
    maskable = any(isinstance(module, KeptDimensions) for module in model.modules())
    if is_masked(state["model"]) and not maskable:
        raise ValueError(f"{filename}: {MASKED}") from None
    mismatch = first_mismatch(state["model"], model)
    if mismatch:
        raise ValueError(f"{filename} cannot be loaded into this --arch: {mismatch}") from None
    raise ValueError(f"{filename} cannot be loaded into this --arch: {error.__context__}") from None


def _warn_of_other_batches(cfg: Any, extra_state: Any) -> None:
    position = (extra_state or {}).get("train_iterator", {})
    if position.get("epoch", 1) > 1 and not cfg.dataset.update_epoch_batch_itr:
        logger.warning(
            "resuming after epoch 1: tasks that keep their batches across epochs (translation) now "
            "group sentences otherwise than the undisturbed run, unless both runs have "
            "--update-epoch-batch-itr True"
        )
