"""The file of a block."""

import zlib

import pytest
import torch

from lightpaff_fairseq.teachers.cache.block_file import BlockFile, Item, write_block
from lightpaff_fairseq.teachers.cache.header import Plan
from lightpaff_fairseq.teachers.cache.layout import TOP_K, Layout
from lightpaff_fairseq.teachers.cache.sample_files import SampleFiles


def test_a_block_gives_back_what_was_written(tmp_path):
    layout = Layout(TOP_K, 20, 3, 1.0)
    items = [
        Item(layout.encode(torch.randn(n, 20)), text=n) if n is not None else None
        for n in (4, 0, None, 2)
    ]
    plan = Plan(layout, {}, {}, 0, 9, [0, 4])
    path = tmp_path / plan.file(1, 0)
    assert write_block(path, items, plan.checksum) == 6
    block = BlockFile(path, layout, plan.checksum)
    assert block.positions == 6 and block.skipped == 1
    files = SampleFiles(tmp_path, plan)
    for row, item in enumerate(items):
        entry, records = files.read(0, row)
        assert records == (item.records.tobytes() if item else b"")
        assert entry["text"] == (item.text if item else 0)
        assert entry["records"] == zlib.crc32(records)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    with pytest.raises(ValueError, match=rf"{path.name}: is a block of another cache .* checksum "):
        BlockFile(path, layout, plan.checksum + 1)
