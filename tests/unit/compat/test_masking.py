"""Masks follow the epoch."""

from fairseq.data import LRUCacheDataset

import toy


def test_masks_follow_the_epoch_even_of_items_just_read(tmp_path):
    data = toy.write_monolingual(tmp_path)
    flags = ("--task", "masked_lm", "--sample-break-mode", "eos", "--tokens-per-sample", 32)
    task = toy.build(data, *flags, "--mask-prob", 0.5, "--arch", "roberta_tiny")[0]
    dataset = task.dataset("train")

    def masks(epoch, clear):
        if clear:
            LRUCacheDataset.__getitem__.cache_clear()
        dataset.set_epoch(epoch)
        return [dataset[i]["target"].tolist() for i in (0, 1)]

    fresh = [masks(epoch, clear=True) for epoch in (1, 2, 1)]
    assert fresh[0] == fresh[2] != fresh[1]
    assert [masks(epoch, clear=False) for epoch in (1, 2, 1)] == fresh
