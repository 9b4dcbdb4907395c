"""The file of a block."""

import pytest
import torch

from lightpaff_fairseq.teachers.cache.block_file import BlockFile, Item, write_block
from lightpaff_fairseq.teachers.cache.layout import TOP_K, Layout


def test_a_block_gives_back_what_was_written(tmp_path):
    layout = Layout(TOP_K, 20, 3, 1.0)
    items = [
        Item(layout.encode(torch.randn(n, 20)), text=n) if n is not None else None
        for n in (4, 0, None, 2)
    ]
    assert write_block(tmp_path / "b.bin", items, plan=7) == 6
    block = BlockFile(tmp_path / "b.bin", layout, 7)
    assert block.positions == 6 and block.skipped == 1
    for row, item in enumerate(items):
        read = block.read(row)
        if item is None:
            assert read is None
        else:
            assert read.tobytes() == item.records.tobytes()
            assert block.index["text"][row] == item.text
    assert [path.name for path in tmp_path.iterdir()] == ["b.bin"]
    with pytest.raises(ValueError, match=r"b\.bin: is a block of another cache .* checksum 8, "):
        BlockFile(tmp_path / "b.bin", layout, 8)
