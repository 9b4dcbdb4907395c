"""What fairseq does not tell, or forget, when an epoch begins."""

import functools
from typing import Any

from fairseq.data import LRUCacheDataset
from fairseq.trainer import Trainer


def tell_epochs() -> None:
    """Tells a criterion with a method `begin_epoch` which epoch begins, its data loaded.

    fairseq tells data sets and tasks only; masks, and with them cached soft targets, differ.
    """
    original = Trainer.begin_epoch
    if getattr(original, "tells_criterions", False):
        return

    @functools.wraps(original)
    def begin_epoch(self: Any, epoch: int) -> None:
        begin = getattr(self.get_criterion(), "begin_epoch", None)
        if begin is not None:
            begin(epoch, self.cfg.dataset.train_subset)
        original(self, epoch)

    begin_epoch.tells_criterions = True  # type: ignore[attr-defined]
    Trainer.begin_epoch = begin_epoch


def forget_items_of_the_last_epoch() -> None:
    """Masked items were kept across epochs: masks must depend on (seed, epoch, index) alone.

    `LRUCacheDataset`, around the masks of `masked_lm`, remembers its last 8 items by index only.
    The first samples of an epoch could have the masks of the epoch before, or input and target of
    different epochs (with --num-workers 0; or in workers, if the main process had read items).
    """
    original = LRUCacheDataset.set_epoch
    if getattr(original, "forgets_items", False):
        return

    @functools.wraps(original)
    def set_epoch(self: Any, epoch: int) -> None:
        LRUCacheDataset.__getitem__.cache_clear()
        original(self, epoch)

    set_epoch.forgets_items = True  # type: ignore[attr-defined]
    LRUCacheDataset.set_epoch = set_epoch
