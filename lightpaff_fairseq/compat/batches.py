"""What batches need: the last one, and names that numpy dropped."""

import functools
import inspect
import types
from typing import Any

import numpy as np
from fairseq.data import data_utils
from fairseq.trainer import Trainer

DUMMY_BATCH = "is_stand_in"  # in a batch whose loss and gradient fairseq throws away


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


def mark_dummy_batches() -> None:
    """A process that has no batch left repeats one of another epoch, or of the validation.

    fairseq multiplies its loss by 0, but the criterion must compute one and cannot tell: what is
    looked up by sample number and masks is not there.
    """
    original = Trainer._prepare_sample
    if getattr(original, "marks_stand_ins", False):
        return

    @functools.wraps(original)
    def _prepare_sample(self: Any, sample: Any, *args: Any, **kwargs: Any) -> tuple[Any, bool]:
        prepared, stands_in = original(self, sample, *args, **kwargs)
        return ({**prepared, DUMMY_BATCH: True} if stands_in else prepared), stands_in

    _prepare_sample.marks_stand_ins = True  # type: ignore[attr-defined]
    Trainer._prepare_sample = _prepare_sample


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
