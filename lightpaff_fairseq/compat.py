"""What fairseq 0.12 needs on current Python, PyTorch and numpy; applied by importing the plug-in.

One function an item, those about epochs in `compat_epochs.py`, about tasks in
`compat_tasks.py`. Each names the fault, does nothing where the fault is gone, and can be deleted
alone. Nothing here changes what a correct run computes.
"""

import argparse
import collections
import functools
import importlib
import inspect
import logging
import os
import types
import typing
import warnings
from typing import Any

import numpy as np
import omegaconf
import torch
from fairseq import checkpoint_utils
from fairseq.data import data_utils
from fairseq.distributed import utils as distributed_utils
from fairseq.file_io import PathManager
from fairseq.trainer import Trainer

from .compat_epochs import forget_items_of_the_last_epoch, tell_epochs
from .compat_tasks import keep_arguments_of_mbart
from .pruning.layer_norm import MASKED, KeptDimensions, is_masked
from .teachers.checkpoint import first_mismatch

logger = logging.getLogger(__name__)


def allow_checkpoint_classes() -> None:
    """Lets torch's safe loading (the default since 2.6) read fairseq's own checkpoints.

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


def keep_the_last_batch() -> None:
    """fairseq drops the last batch unless its size is a multiple of 8 (fairseq #5036, #5351).

    Of 30 test sentences 24 were translated, and scored. Batches are consecutive slices of the
    indices, so what is missing at the end is exactly the dropped batch.
    """
    original = data_utils.batch_by_size
    if getattr(original, "keeps_the_last_batch", False):
        return

    @functools.wraps(original)
    def batch_by_size(indices: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(indices, np.ndarray):
            indices = np.fromiter(indices, dtype=np.int64, count=-1)
        if len(indices) == 0:
            return []  # fairseq then says that the dataset is empty, here it would crash
        batches = original(indices, *args, **kwargs)
        fixed_shapes = kwargs.get("fixed_shapes") or (args[5] if len(args) > 5 else None)
        covered = sum(len(batch) for batch in batches)
        if fixed_shapes is None and covered < len(indices):
            batches = [*batches, indices[covered:]]
        return batches

    batch_by_size.keeps_the_last_batch = True  # type: ignore[attr-defined]
    data_utils.batch_by_size = batch_by_size


def restore_numpy_names() -> None:
    """`--sample-break-mode eos` uses `np.compat.long` (gone in numpy 2), `--num-batch-buckets` the
    argument `interpolation` of `np.percentile` (gone in 2.4; called `method` since 1.22)."""
    if not hasattr(np, "compat"):
        setattr(np, "compat", types.SimpleNamespace(long=int))  # noqa: B010
    if "interpolation" not in inspect.signature(np.percentile).parameters:
        data_utils.get_buckets = _get_buckets


def _get_buckets(sizes: Any, num_buckets: int) -> Any:
    """Upper bounds of `num_buckets` buckets of about equally many samples."""
    quantiles = np.linspace(0, 100, num_buckets + 1)
    return np.unique(np.percentile(sizes, quantiles, method="lower")[1:])


def check_launch() -> None:
    """Refuses launches that train nothing, or something else, and exit with success.

    `--distributed-world-size 2` without a GPU spawns no process; torchrun without
    `--distributed-world-size` trains independent models into one folder; `--bf16` of the argparse
    commands means TPU (fairseq #4696). `fairseq-hydra-train` launches before it imports a plug-in:
    there the first of these goes unnoticed, the others are met in `check_before_training`.
    """
    original = distributed_utils.call_main
    if getattr(original, "checks_launch", False):
        return

    @functools.wraps(original)
    def call_main(cfg: Any, main: Any, **kwargs: Any) -> None:
        if getattr(main, "__module__", None) in ("fairseq_cli.train", "__main__"):
            _check_launch_of(cfg)
        original(cfg, main, **kwargs)

    call_main.checks_launch = True  # type: ignore[attr-defined]
    distributed_utils.call_main = call_main


def _check_launch_of(cfg: Any) -> None:
    problem = _launch_problem(cfg)
    if problem:
        raise ValueError(problem)


def _launch_problem(cfg: Any) -> str | None:
    launch = cfg.distributed_training
    world, launched = launch.distributed_world_size, int(os.environ.get("WORLD_SIZE", "1"))
    on_gpu = torch.cuda.is_available() and not cfg.common.cpu
    if launched > 1 and world == 1:
        return (
            f"WORLD_SIZE={launched} in the environment but --distributed-world-size 1: every "
            "process would train a model of its own. Add --distributed-world-size, "
            "--distributed-rank $RANK, --distributed-no-spawn, --distributed-init-method env://"
        )
    if world > 1 and not (on_gpu or cfg.common.tpu or launch.distributed_no_spawn):
        return (
            f"--distributed-world-size {world} without a GPU trains nothing: give "
            "--distributed-world-size 1, or start one process a rank yourself, with "
            "--distributed-no-spawn, --distributed-rank and --distributed-init-method"
        )
    if cfg.common.tpu and cfg.common.bf16 and not _has_tpu():
        return (
            "--bf16: this command means bfloat16 on a TPU, and there is none; use "
            "fairseq-hydra-train common.bf16=true"
        )
    return None


def _has_tpu() -> bool:
    import importlib.util

    return importlib.util.find_spec("torch_xla") is not None


def check_before_training() -> None:
    """Hooks into the one call that precedes every training: `Trainer.load_checkpoint`.

    A `--restore-file` that does not exist is an error (fairseq logs it and trains from scratch);
    weights that do not fit name the parameter and both shapes; resuming without
    `--update-epoch-batch-itr` is pointed out (other batches than the undisturbed run's); and a
    criterion with a method `before_training` is called, so that a bad teacher stops the run
    before its first update.
    """
    original = Trainer.load_checkpoint
    if getattr(original, "checks_before_training", False):
        return

    @functools.wraps(original)
    def load_checkpoint(
        self: Any, filename: str, reset_optimizer: bool = False, *args: Any, **kwargs: Any
    ) -> Any:
        _check_launch_of(self.cfg)
        _check_restore_file(self.cfg.checkpoint, filename)
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


def complete_old_checkpoints() -> None:
    """Checkpoints without the entry `criterion` (released models, written by older versions).

    fairseq fails on them with KeyError, even for `--finetune-from-model`, if the criterion in
    training has parameters, as ours has where layers are matched by projections.
    """
    original = checkpoint_utils._upgrade_state_dict
    if getattr(original, "completes", False):
        return

    @functools.wraps(original)
    def upgrade(state: dict[str, Any]) -> dict[str, Any]:
        upgraded: dict[str, Any] = original(state)
        upgraded.setdefault("criterion", None)
        return upgraded

    upgrade.completes = True  # type: ignore[attr-defined]
    checkpoint_utils._upgrade_state_dict = upgrade


def filter_known_warnings() -> None:
    """Silences messages about fairseq's own code that a user can do nothing about."""
    by_message = [
        (r".*torch\.cuda\.amp\.autocast.*", FutureWarning),
        (r".*'pin_memory' argument is set as true.*", UserWarning),
        (r".*mismatched key_padding_mask and attn_mask.*", UserWarning),
        (r"\s*'config' is validated against ConfigStore", UserWarning),
    ]
    for message, category in by_message:
        warnings.filterwarnings("ignore", message=message, category=category)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"hydra\.")  # its deprecations


def apply() -> None:
    """Everything above; a second call changes nothing."""
    allow_checkpoint_classes()
    keep_the_last_batch()
    restore_numpy_names()
    check_launch()
    check_before_training()
    complete_old_checkpoints()
    forget_items_of_the_last_epoch()
    tell_epochs()
    keep_arguments_of_mbart()
    filter_known_warnings()
