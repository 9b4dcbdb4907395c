"""Launched processes share the work of cache-teacher and seq-kd."""

import torch

from lightpaff_fairseq.cli.launched_shard import shard_of_launch
from lightpaff_fairseq.launched_processes import LAUNCHERS
from lightpaff_fairseq.shards import Shard


def test_a_launched_process_takes_the_shard_of_its_rank(monkeypatch):
    for _, *names in LAUNCHERS:
        for name in names:
            monkeypatch.delenv(name, raising=False)
    assert shard_of_launch(Shard()) == Shard()
    used = []
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for _, tasks, rank, local_rank in LAUNCHERS:
        with monkeypatch.context() as patch:
            for name, value in ((tasks, "4"), (rank, "3"), (local_rank, "1")):
                patch.setenv(name, value)
            assert shard_of_launch(Shard()) == Shard(4, 3)
            assert shard_of_launch(Shard(2, 0)) == Shard(2, 0)
    assert used == [1] * len(LAUNCHERS)
