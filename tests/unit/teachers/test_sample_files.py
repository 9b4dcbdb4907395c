"""Reading single samples: the same work and memory with few blocks and with many."""

import os
import tracemalloc
import weakref

import numpy as np
import pytest
import torch

from lightpaff_fairseq.teachers.cache import sample_files
from lightpaff_fairseq.teachers.cache.block_file import INDEX, Item, write_block
from lightpaff_fairseq.teachers.cache.builder import finish
from lightpaff_fairseq.teachers.cache.header import Plan
from lightpaff_fairseq.teachers.cache.layout import TOP_K, Layout
from lightpaff_fairseq.teachers.cache.reader import CacheReader

LAYOUT = Layout(TOP_K, 30, 2, 1.0)
BLOCK, SAMPLES = LAYOUT.encode(torch.randn(400, 30, generator=torch.manual_seed(1))), 130


def write_cache(folder, blocks, epochs=0):
    """Write and finish a cache of blocks of `SAMPLES` samples of 0 to 3 positions."""
    plan = Plan(LAYOUT, {}, {}, epochs, 9, list(range(0, SAMPLES * blocks + 1, SAMPLES)))
    plan.folder(folder).claim()
    items = [Item(BLOCK[i : i + i % 4], text=i) for i in range(SAMPLES)]
    write_block(folder / "block", items, plan.checksum)
    content = (folder / "block").read_bytes()
    (folder / "block").unlink()
    for block in plan.blocks:
        (folder / block.file).write_bytes(content)
    assert finish(folder, plan) == 0
    return plan


def check_reads(reader, epochs):
    """Read 1,000 samples in batches, and compare them with what was written."""
    draw = np.random.default_rng(0)
    for batch in range(20):
        ids = draw.integers(0, reader.plan.bounds[-1], 50)
        records, counts = reader.read(1 + batch % epochs, ids.tolist(), (ids % SAMPLES).tolist())
        expected = [BLOCK[i : i + i % 4] for i in (ids % SAMPLES).tolist()]
        assert counts.tolist() == [len(x) for x in expected]
        assert records.tobytes() == b"".join(x.tobytes() for x in expected)


def count_reads(monkeypatch, reader, epochs):
    """Check reads of 1,000 samples; return the opened files, the reads and the largest read."""
    calls = {"open": 0, "pread": []}
    open_file, pread = os.open, os.pread

    def counted_open(*args):
        calls["open"] += 1
        return open_file(*args)

    def counted_pread(descriptor, count, start):
        calls["pread"].append(count)
        return pread(descriptor, count, start)

    with monkeypatch.context() as patch:
        patch.setattr(sample_files.os, "open", counted_open)
        patch.setattr(sample_files.os, "pread", counted_pread)
        check_reads(reader, epochs)
    return calls["open"], len(calls["pread"]), max(calls["pread"])


def test_a_read_costs_the_same_with_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_files, "OPEN_FILES", 4)
    reads = {}
    for blocks, epochs in ((10, 1), (1000, 2)):
        folder = tmp_path / str(blocks)
        write_cache(folder, blocks, epochs)
        reader = CacheReader(folder, "--kd-cache")
        reads[blocks] = count_reads(monkeypatch, reader, epochs)
        assert len(reader._files._open) == 4
        descriptors = [os.readlink(f"/proc/self/fd/{x}") for x in reader._files._open.values()]
        assert all(name.startswith(str(folder)) for name in descriptors)
    opened, count, largest = reads[1000]
    assert opened <= 1000 and reads[10][0] > 100  # one per sample at most, with 1,000 blocks
    assert abs(count - reads[10][1]) < 100 and count <= 2000  # empty samples have no second read
    assert largest == reads[10][2] <= sample_files.STRIDE * INDEX.itemsize


def test_memory_does_not_grow_with_samples_and_epochs(tmp_path, monkeypatch):
    """Formerly by 28 to 36 bytes per sample and epoch that was read."""
    monkeypatch.setattr(sample_files, "MARKS", 500)
    monkeypatch.setattr(sample_files, "STRIDE", 1)
    monkeypatch.setattr(sample_files, "OPEN_FILES", 4)
    held = {}
    for epochs in (1, 60):  # numpy keeps some kilobytes of freed arrays
        folder = tmp_path / str(epochs)
        write_cache(folder, 20, epochs)
        reader = CacheReader(folder, "--kd-cache")
        ids = list(range(SAMPLES // 2, 20 * SAMPLES, SAMPLES))
        tracemalloc.start()
        for epoch in range(1, epochs + 1):
            reader.read(epoch, ids, [SAMPLES // 2] * 20)
        held[epochs] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        marks = len(reader._files._before)
        assert marks <= 500 + 20 * epochs  # and one per block, however large it is
    grown = held[60] - held[1]
    assert grown < 59 * 20 * SAMPLES // 10  # bytes: a tenth of a byte per sample and epoch


def test_descriptors_are_closed_with_the_reader(tmp_path):
    write_cache(tmp_path / "c", 3)
    reader = CacheReader(tmp_path / "c", "--kd-cache")
    reader.read(1, [0, SAMPLES, 2 * SAMPLES], [0, 0, 0])
    descriptors, gone = list(reader._files._open.values()), weakref.ref(reader)
    assert len(descriptors) == 3
    del reader
    assert gone() is None
    for descriptor in descriptors:
        with pytest.raises(OSError):
            os.fstat(descriptor)


def test_a_file_that_shrinks_or_goes_while_a_run_reads_it_is_named(tmp_path):
    plan = write_cache(tmp_path / "c", 2)
    reader = CacheReader(tmp_path / "c", "--kd-cache")
    first, second = (tmp_path / "c" / block.file for block in plan.blocks)
    reader.read(1, [3], [3])
    os.truncate(first, 30)
    with pytest.raises(ValueError, match=rf"{first}: corrupt: expected .* bytes from byte 20 on"):
        reader.read(1, [7], [7])
    second.unlink()
    with pytest.raises(ValueError, match=f"{second}: cannot be read"):
        reader.read(1, [SAMPLES], [0])
