"""One file of a cache: the records of consecutive samples, each with its checksums.

    16 bytes    "LPTCACHE", number of samples (4), checksum of the index (4)
    12 bytes    per sample, the index: number of positions (4; `SKIPPED`: too long for the teacher),
                checksum of its text (4), checksum of its records (4)
    records     of all positions of the first sample, then of the second, ...

Checksums are CRC-32.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checkpoints.output_file import replacing
from .layout import Layout, Records

MAGIC = b"LPTCACHE"
HEAD = struct.Struct("<8sII")
INDEX = np.dtype([("count", "<u4"), ("text", "<u4"), ("records", "<u4")])
SKIPPED = 0xFFFFFFFF
AGAIN = "delete this file and run lightpaff cache-teacher again"


@dataclass(frozen=True)
class Item:
    """The records of a sample, and the checksum of its text."""

    records: Records
    text: int


def write_block(path: Path, items: Sequence[Item | None]) -> int:
    """Write a block, completely or not at all.

    Args:
        path: the file.
        items: one per sample, in the order of the samples; None: too long for the teacher.
    Returns:
        the number of positions.
    Raises:
        OSError: the file cannot be written.
    """
    index = np.zeros(len(items), INDEX)
    parts = [item.records.tobytes() if item else b"" for item in items]
    for row, item, part in zip(index, items, parts, strict=True):
        row["count"] = len(item.records) if item else SKIPPED
        row["text"], row["records"] = item.text if item else 0, zlib.crc32(part)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(HEAD.pack(MAGIC, len(items), zlib.crc32(index.tobytes())))
        file.write(index.tobytes())
        file.writelines(parts)
    return sum(len(item.records) for item in items if item)


class BlockFile:
    """A memory-mapped block file; opening it only reads the index.

    Raises:
        ValueError: the file is missing or has the wrong size, or its index is corrupt.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                magic, count, checksum = HEAD.unpack(file.read(HEAD.size))
                stored = file.read(count * INDEX.itemsize) if magic == MAGIC else b""
        except (OSError, struct.error) as error:
            raise ValueError(f"{path}: cannot be read: {error}; {AGAIN}") from error
        if magic != MAGIC or zlib.crc32(stored) != checksum or len(stored) % INDEX.itemsize:
            raise ValueError(f"{path}: corrupt: checksum mismatch of its index; {AGAIN}")
        self.index = np.frombuffer(stored, INDEX)
        counts = np.where(self.index["count"] == SKIPPED, 0, self.index["count"]).astype(np.int64)
        self.ends = np.cumsum(counts)
        self.starts = self.ends - counts
        self.positions = int(counts.sum())
        self.skipped = int((self.index["count"] == SKIPPED).sum())
        self._record = layout.dtype.itemsize
        self._offset = HEAD.size + len(stored)
        expected = self._offset + self.positions * self._record
        if size != expected:
            raise ValueError(f"{path}: corrupt: expected {expected} bytes, got {size}; {AGAIN}")
        self._bytes: NDArray[Any] | None = None

    def read(self, row: int) -> NDArray[Any] | None:
        """Return the records of the sample at `row` as bytes, a view of the file; None if skipped.

        Raises:
            ValueError: checksum mismatch.
        """
        entry = self.index[row]
        if entry["count"] == SKIPPED:
            return None
        if self._bytes is None:
            self._bytes = np.memmap(self.path, np.uint8, "r")
        first, last = (self._offset + int(x[row]) * self._record for x in (self.starts, self.ends))
        records: NDArray[Any] = self._bytes[first:last]
        if zlib.crc32(records.data) != entry["records"]:
            raise ValueError(
                f"{self.path}: corrupt: checksum mismatch of bytes {first} to {last} (sample {row} "
                f"of the block); {AGAIN}"
            )
        return records

    def release(self) -> None:
        """Unmap the file; a later `read` maps it again."""
        self._bytes = None
