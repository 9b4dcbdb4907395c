"""Batches: the last one, and names that numpy dropped."""

import inspect
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from fairseq.data import data_utils

from .patching import change, patch


def _loses_samples() -> bool:
    samples = np.arange(9)
    try:
        batches = data_utils.batch_by_size(
            samples, lambda i: 1, np.ones_like(samples), 9, 8, required_batch_size_multiple=8
        )
    except ImportError:  # not compiled, as `lightpaff doctor` reports
        return True
    return sum(map(len, batches)) < len(samples)


@patch(data_utils, "batch_by_size", issues=(5036, 5351), needed=_loses_samples)
def keep_last_batch(original: Callable[..., Any], indices: Any, *args: Any, **kwargs: Any) -> Any:
    """Keep the last batch, which fairseq drops unless its size is a multiple of 8.

    Of 30 test sentences 24 were translated, and scored. Batches are consecutive slices of the
    indices, so what is missing at the end is exactly the dropped batch. With `fixed_shapes`
    (`--num-batch-buckets`) nothing is dropped.
    """
    if not isinstance(indices, np.ndarray):
        indices = np.fromiter(indices, dtype=np.int64, count=-1)
    if len(indices) == 0:
        return []  # fairseq then reports an empty dataset; here it would crash
    batches = original(indices, *args, **kwargs)
    covered = sum(len(batch) for batch in batches)
    if covered < len(indices):
        batches = [*batches, indices[covered:]]
    return batches


@change("numpy.compat", needed=lambda: not hasattr(np, "compat"))
def restore_numpy_compat() -> None:
    """Restore `np.compat.long` (gone in numpy 2) for `--sample-break-mode eos`."""
    setattr(np, "compat", types.SimpleNamespace(long=int))  # noqa: B010


@patch(
    data_utils,
    "get_buckets",
    needed=lambda: "interpolation" not in inspect.signature(np.percentile).parameters,
)
def compute_buckets(original: Callable[..., Any], sizes: Any, num_buckets: int) -> Any:
    """Compute `--num-batch-buckets` with numpy 2.4, where an argument of `np.percentile` is gone.

    Returns:
        upper bounds of `num_buckets` buckets of about equally many samples.
    """
    quantiles = np.linspace(0, 100, num_buckets + 1)
    return np.unique(np.percentile(sizes, quantiles, method="lower")[1:])
