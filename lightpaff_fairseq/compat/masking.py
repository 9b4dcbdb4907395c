"""Masks of `--task masked_lm` depend on (seed, epoch, index) alone."""

from collections.abc import Callable

from fairseq.data import LRUCacheDataset

from .patching import patch


@patch(
    LRUCacheDataset,
    "set_epoch",
    needed=lambda: hasattr(LRUCacheDataset.__getitem__, "cache_clear"),
)
def forget_items_of_last_epoch(
    original: Callable[..., None], self: LRUCacheDataset, epoch: int
) -> None:
    """Forget masked items when an epoch begins.

    `LRUCacheDataset`, around the masks of `masked_lm`, remembers its last 8 items by index only.
    The first samples of an epoch could have the masks of the epoch before, or input and target of
    different epochs (with --num-workers 0; or in workers, if the main process had read items).
    """
    LRUCacheDataset.__getitem__.cache_clear()
    original(self, epoch)
