"""Runs that are stopped and started again, or follow each other in one process."""

import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from fairseq.logging import metrics
from fairseq.trainer import Trainer

from .patching import patch

NO_EPOCH = -1  # as --max-epoch: every epoch is later
logger = logging.getLogger(__name__)


@patch(PathManager, "copy")
def copy_in_one_step(
    original: Callable[..., Any], src_path: str, dst_path: str, overwrite: bool = False
) -> Any:
    """Copy `checkpoint3.pt` beside `checkpoint_last.pt` and `checkpoint_best.pt`, sync, rename.

    fairseq copies over them: after a kill, or on a full disk, half a file is left, and the same
    command can no longer resume.
    """
    if not (overwrite and all(map(PathManager.supports_rename, (src_path, dst_path)))):
        return original(src_path, dst_path, overwrite)
    target = Path(dst_path).resolve()  # a link stays
    temporary = target.with_name(f"{target.name}.tmp")  # fairseq's own name: a next run takes it
    try:
        shutil.copyfile(src_path, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return True


@patch(checkpoint_utils, "load_checkpoint")
def end_finished_run(
    original: Callable[..., Any], cfg: Any, trainer: Any, *args: Any, **kwargs: Any
) -> Any:
    """End a run at once that is finished and started again.

    fairseq looks at `--max-update` and `--stop-time-hours` after an update: it makes one more, and
    overwrites the last checkpoint.
    """
    loaded = original(cfg, trainer, *args, **kwargs)
    if not isinstance(trainer, Trainer):  # one that trains nothing, in fairseq's tests
        return loaded
    flags, updates = trainer.cfg.optimization, trainer.get_num_updates()
    hours = (loaded[0] or {}).get("previous_training_time", 0) / 3600
    if 0 < flags.max_update <= updates or (updates and 0 < flags.stop_time_hours < hours):
        logger.info(f"nothing to train: the run is finished, after {updates} updates")
        flags.max_epoch = NO_EPOCH
    return loaded


@patch(Trainer, "__init__")
def forget_last_run(original: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Forget the best checkpoint, the patience and the averages of a run before in this process.

    `fairseq-hydra-train -m` trains its jobs one after the other in one process, and fairseq keeps
    these on its functions: a job that is worse than one before gets no `checkpoint_best.pt`, and
    `--patience` ends it early.
    """
    command = sys.modules.get("fairseq_cli.train") or sys.modules["__main__"]
    for function in (checkpoint_utils.save_checkpoint, getattr(command, "should_stop_early", None)):
        for name in ("best", "num_runs"):
            if hasattr(function, name):
                delattr(function, name)
    for name in ("train", "train_inner"):
        metrics.reset_meters(name)
    original(*args, **kwargs)
