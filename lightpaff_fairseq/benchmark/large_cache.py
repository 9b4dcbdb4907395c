"""`lightpaff benchmark cache --positions N`: what a reader of a cache of N positions takes."""

import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..flags import Range, flag
from ..megabytes import MEGABYTE
from ..teachers.cache.block_file import HEAD, INDEX, MAGIC
from ..teachers.cache.cache_request import BLOCK_TOKENS, MOST_FILES
from ..teachers.cache.header import HEADER, Contents, Plan, header_text
from ..teachers.cache.layout import TOP_K, Layout
from ..teachers.cache.reader import CacheReader

SAMPLE = 25  # positions per sample, about those of a sentence
LAYOUT = Layout(TOP_K, 32_000, 32, 1.0)
BATCH, BATCHES = 64, 200


@dataclass(frozen=True)
class LargeCacheFlags:
    """The size of a synthetic cache."""

    positions: float | None = flag(
        "instead, open and read a synthetic cache of N positions in sparse files, k = 32, 25 "
        "positions per sample; the other flags have no effect, except --json",
        None,
        metavar="N",
        expected=Range("a number from 1 to 1e11", 1, 1e11),
    )


@dataclass(frozen=True)
class LargeCacheReport:
    """Figures of one reader; memory in bytes, all blocks opened once.

    Attributes:
        file_bytes: size of the files; disk_bytes: of them, those that are not holes.
        open_seconds: to open the cache; verify_us: to read one sample of each block, per sample,
            which verifies the block's index; read_us: to read random samples, per sample.
        memory: resident memory that the reader added.
    """

    positions: int
    samples: int
    files: int
    file_bytes: int
    disk_bytes: int
    open_seconds: float
    verify_us: float
    read_us: float
    memory: int

    def table(self) -> str:
        """Return the figures as lines of text."""
        return "\n".join(
            [
                f"{self.positions:,} positions, {self.samples:,} samples",
                f"{self.files:,} files, {self.file_bytes / MEGABYTE:,.0f} MB, of which "
                f"{self.disk_bytes / MEGABYTE:,.0f} MB are written and the rest are holes",
                f"memory of the reader   {self.memory / MEGABYTE:.1f} MB",
                f"to open the cache      {self.open_seconds:.3f} s",
                f"to read a sample       {self.read_us:.0f} us, the first of a block "
                f"{self.verify_us:.0f} us",
            ]
        )


def write_synthetic(folder: Path, positions: int) -> Plan:
    """Write a cache whose records are zeros in holes of sparse files; indexes are complete."""
    samples = max(1, positions // SAMPLE)
    per_block = max(1, max(BLOCK_TOKENS, -(-2 * positions // MOST_FILES)) // SAMPLE)
    bounds = [*range(0, samples, per_block), samples]
    plan = Plan(LAYOUT, {}, {}, 0, None, bounds)
    record = LAYOUT.dtype.itemsize * SAMPLE
    entry = np.array([(SAMPLE, 0, zlib.crc32(bytes(record)))], INDEX)
    for block in plan.blocks:
        index = entry.repeat(block.count).tobytes()
        with (folder / block.file).open("wb") as file:
            file.write(HEAD.pack(MAGIC, block.count, zlib.crc32(index), plan.checksum))
            file.write(index)
            file.truncate(file.tell() + record * block.count)
    contents = Contents([block.count * SAMPLE for block in plan.blocks], 0)
    (folder / HEADER).write_text(header_text(plan, contents), encoding="utf-8")
    return plan


def benchmark_large_cache(positions: int) -> LargeCacheReport:
    """Write a synthetic cache to a temporary folder, open it, and read from it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        plan = write_synthetic(folder, positions)
        sizes = [path.stat() for path in folder.iterdir()]
        samples, generator = plan.bounds[-1], np.random.default_rng(1)
        before, begin = _resident_bytes(), time.perf_counter()
        reader = CacheReader(folder, "--kd-cache")
        opened = time.perf_counter()
        verify_us = _read_us(reader, np.array(plan.bounds[:-1]))
        read_us = _read_us(reader, generator.integers(0, samples, BATCH * BATCHES))
        return LargeCacheReport(
            positions=reader.positions,
            samples=samples,
            files=len(plan.blocks),
            file_bytes=sum(x.st_size for x in sizes),
            disk_bytes=sum(x.st_blocks * 512 for x in sizes),
            open_seconds=opened - begin,
            verify_us=verify_us,
            read_us=read_us,
            memory=_resident_bytes() - before,
        )


def _read_us(reader: CacheReader, samples: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> float:
    """Read samples in batches; return the microseconds per sample."""
    begin = time.perf_counter()
    for batch in _batches(samples.tolist()):
        reader.read(1, batch, [0] * len(batch))
    return (time.perf_counter() - begin) / len(samples) * 1e6


def _batches(samples: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(samples), BATCH):
        yield samples[start : start + BATCH]


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
