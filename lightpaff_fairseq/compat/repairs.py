"""The list of all repairs, in the order in which they are applied."""

from .activations import accept_swish, compute_swish, list_swish
from .batches import compute_buckets, keep_last_batch, restore_numpy_compat
from .checkpoints import (
    allow_checkpoint_classes,
    complete_old_checkpoints,
    keep_interpolated_booleans,
)
from .datasets import close_opened_data, close_opened_index
from .masking import forget_items_of_last_epoch
from .patching import Change
from .precision import allow_bf16_without_tpu
from .runs import copy_in_one_step, end_finished_run, forget_last_run
from .translation_tasks import join_parts_of_split, keep_arguments_of_mbart
from .warning_filters import filter_known_warnings

REPAIRS: tuple[Change, ...] = (
    allow_checkpoint_classes,
    complete_old_checkpoints,
    keep_interpolated_booleans,
    keep_last_batch,
    restore_numpy_compat,
    compute_buckets,
    forget_items_of_last_epoch,
    compute_swish,
    list_swish,
    accept_swish,
    keep_arguments_of_mbart,
    join_parts_of_split,
    allow_bf16_without_tpu,
    copy_in_one_step,
    end_finished_run,
    forget_last_run,
    close_opened_data,
    close_opened_index,
    filter_known_warnings,
)


def apply() -> None:
    """Apply every repair; a second call changes nothing."""
    for repair in REPAIRS:
        repair.apply()
