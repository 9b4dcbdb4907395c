"""Read single samples from the block files of a cache, in bounded memory.

When a block is first read, its index is verified, and the number of positions before every
`stride`-th of its samples is kept. From then on a sample costs two reads, however many blocks the
cache has: at most `stride` entries of the index, and its records.
"""

import os
import weakref
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .block_file import AGAIN, INDEX, BlockFile, position_counts
from .header import Plan

MARKS = 2**20  # about the largest number of marks, of 8 bytes each
STRIDE = 64  # smallest number of samples per mark
OPEN_FILES = 256  # each takes a file descriptor, often limited to 1,024


class SampleFiles:
    """The block files of a finished cache, numbered from 0, epoch after epoch.

    Takes 8 bytes for every `stride` samples of a block (8 MiB at most for a whole cache), 17 bytes
    per block, and `OPEN_FILES` file descriptors.

    Args:
        folder: of the cache; plan: of the cache.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder, self._plan = folder, plan
        self._bounds = np.array(plan.bounds, dtype=np.int64)
        epochs, counts = max(1, plan.epochs), np.diff(self._bounds)
        self.stride = max(STRIDE, -(-int(self._bounds[-1]) * epochs // MARKS))
        marks = -(-counts // self.stride)
        self._first_mark = np.concatenate([np.zeros(1, np.int64), np.cumsum(marks)])
        self._before = np.zeros(epochs * int(self._first_mark[-1]), np.int64)  # positions
        self._index_offset = np.zeros(epochs * len(counts), np.uint8)  # bytes; 0: not verified yet
        self._open: OrderedDict[int, int] = OrderedDict()  # block -> descriptor, last used last
        weakref.finalize(self, _close_all, self._open)

    def place(
        self, epoch: int, samples: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return `(n,)` blocks and `(n,)` rows in them of `(n,)` sample numbers of an epoch."""
        blocks = np.searchsorted(self._bounds, samples, side="right") - 1
        number = self._plan.stored_epochs.index(epoch)
        return blocks + number * (len(self._bounds) - 1), samples - self._bounds[blocks]

    def sample(self, block: int, row: int) -> tuple[int, int]:
        """Return the epoch, from 1, and the sample number."""
        number, block = divmod(block, len(self._bounds) - 1)
        return self._plan.stored_epochs[number], int(self._bounds[block]) + row

    def read(self, block: int, row: int) -> tuple[NDArray[Any], bytes]:
        """Return a sample's entry of the index and its records as bytes, none if it was skipped.

        Raises:
            ValueError: the file is missing, corrupt, or a block of another plan.
        """
        if not self._index_offset[block]:
            self._verify(block)
        mark, rest = divmod(row, self.stride)
        start = int(self._index_offset[block]) + mark * self.stride * INDEX.itemsize
        entries = np.frombuffer(self._bytes(block, start, (rest + 1) * INDEX.itemsize), INDEX)
        counts, entry = position_counts(entries), entries[-1]
        before = int(self._before[self._marks(block).start + mark] + counts[:-1].sum())
        size = self._plan.layout.dtype.itemsize
        first = self._records_offset(block) + before * size
        records = self._bytes(block, first, int(counts[-1]) * size)
        if zlib.crc32(records) != entry["records"]:
            raise ValueError(
                f"{self._path(block)}: corrupt: checksum mismatch of bytes {first} to "
                f"{first + len(records)} (sample {row} of the block); {AGAIN}"
            )
        return entry, records

    def _verify(self, block: int) -> None:
        """Verify the index of a block, and set its marks."""
        path, (first, end) = self._path(block), self._samples(block)
        file = BlockFile(path, self._plan.layout, self._plan.checksum)
        if len(file.index) != end - first:
            raise ValueError(f"{path}: expected {end - first} samples, got {len(file.index)}")
        ends = np.cumsum(position_counts(file.index))
        before = np.concatenate([np.zeros(1, np.int64), ends[self.stride - 1 : -1 : self.stride]])
        self._before[self._marks(block)] = before
        self._index_offset[block] = file.index_offset

    def _samples(self, block: int) -> tuple[int, int]:
        """Return the number of the block's first sample, and that of the next block's."""
        number = block % (len(self._bounds) - 1)
        return int(self._bounds[number]), int(self._bounds[number + 1])

    def _marks(self, block: int) -> slice:
        epoch, number = divmod(block, len(self._bounds) - 1)
        start = epoch * int(self._first_mark[-1])
        return slice(
            start + int(self._first_mark[number]), start + int(self._first_mark[number + 1])
        )

    def _records_offset(self, block: int) -> int:
        first, end = self._samples(block)
        return int(self._index_offset[block]) + (end - first) * INDEX.itemsize

    def _path(self, block: int) -> Path:
        number, _ = divmod(block, len(self._bounds) - 1)
        epoch = self._plan.stored_epochs[number]
        return self._folder / self._plan.file(epoch, self._samples(block)[0])

    def _bytes(self, block: int, start: int, count: int) -> bytes:
        """Read bytes `start` to `start + count` of a block."""
        try:
            content = os.pread(self._descriptor(block), count, start) if count else b""
        except OSError as error:
            raise ValueError(f"{self._path(block)}: cannot be read: {error}; {AGAIN}") from error
        if len(content) != count:
            raise ValueError(
                f"{self._path(block)}: corrupt: expected {count} bytes from byte {start} on, got "
                f"{len(content)}; {AGAIN}"
            )
        return content

    def _descriptor(self, block: int) -> int:
        if block not in self._open:
            if len(self._open) >= OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
            self._open[block] = os.open(self._path(block), os.O_RDONLY | os.O_CLOEXEC)
        self._open.move_to_end(block)
        return self._open[block]


def _close_all(descriptors: OrderedDict[int, int]) -> None:
    while descriptors:
        os.close(descriptors.popitem()[1])
