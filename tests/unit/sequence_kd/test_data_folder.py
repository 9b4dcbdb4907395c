"""The place of the student's data."""

import tracemalloc
from pathlib import Path

import numpy as np
import torch
from fairseq.data import indexed_dataset

from lightpaff_fairseq.sequence_kd import mmap_writer
from lightpaff_fairseq.sequence_kd.data_folder import check_output
from lightpaff_fairseq.sequence_kd.mmap_writer import MmapWriter


def test_an_empty_folder_may_be_written_to(tmp_path):
    (tmp_path / "out").mkdir()
    check_output(tmp_path / "out", [tmp_path / "data"], overwrite=False)


def test_data_are_written_as_by_fairseq_and_nothing_is_kept_per_sentence(tmp_path, monkeypatch):
    """Formerly 114 bytes per pair."""
    monkeypatch.setattr(mmap_writer, "CHUNK", 7)
    draw = np.random.default_rng(0)
    sentences = [torch.from_numpy(draw.integers(0, 90, n)) for n in draw.integers(1, 9, 50)]
    kept = {}
    for count in (50, 20_000):
        for vocabulary in (90, 70_000):  # 2 and 4 bytes per token
            names = [tmp_path / f"{name}{count}-{vocabulary}" for name in ("fairseq", "writer")]
            builder = indexed_dataset.make_builder(f"{names[0]}.bin", "mmap", vocabulary)
            writer = MmapWriter(names[1], vocabulary)
            for i in range(count):
                builder.add_item(sentences[i % 50])
            tracemalloc.start()
            for i in range(count):
                writer.add_item(sentences[i % 50])
            kept[count] = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
            builder.finalize(f"{names[0]}.idx")
            writer.finalize()
            for ending in (".bin", ".idx"):
                pair = [Path(f"{name}{ending}").read_bytes() for name in names]
                assert pair[0] == pair[1]
    assert kept[20_000] < kept[50] + 20_000
    assert len(list(tmp_path.iterdir())) == 16
