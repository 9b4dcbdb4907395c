"""One file of a cache: the records of consecutive samples, each with its checksums.

    20 bytes    "LPTBLOCK", number of samples (4), checksum of the index (4), of the plan (4)
    12 bytes    per sample, the index: number of positions (4; `SKIPPED`: too long for the teacher),
                checksum of its text (4), checksum of its records (4)
    records     of all positions of the first sample, then of the second, ...

Checksums are CRC-32. Blocks of version 0.1 begin with "LPTCACHE", without a checksum of the plan:
they are accepted in the cache of any plan.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...output_file import replacing
from .layout import Layout, Records

MAGIC, OLD_MAGIC = b"LPTBLOCK", b"LPTCACHE"
HEAD = struct.Struct("<8sIII")
OLD_HEAD = struct.Struct("<8sII")
INDEX = np.dtype([("count", "<u4"), ("text", "<u4"), ("records", "<u4")])
SKIPPED = 0xFFFFFFFF
AGAIN = "delete this file and run lightpaff cache-teacher again"


@dataclass(frozen=True)
class Item:
    """The records of a sample, and the checksum of its text."""

    records: Records
    text: int


def write_block(path: Path, items: Sequence[Item | None], plan: int) -> int:
    """Write a block, completely or not at all.

    Args:
        path: the file.
        items: one per sample, in the order of the samples; None: too long for the teacher.
        plan: checksum of the plan.
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
        file.write(HEAD.pack(MAGIC, len(items), zlib.crc32(index.tobytes()), plan))
        file.write(index.tobytes())
        file.writelines(parts)
    return sum(len(item.records) for item in items if item)


def _read_index(file: BinaryIO) -> tuple[int, bytes, int, int | None]:
    """Return the size of the head, the index, its checksum, and the plan's (None: version 0.1)."""
    start = file.read(OLD_HEAD.size)
    magic, count, checksum = OLD_HEAD.unpack(start)
    if magic == OLD_MAGIC:
        return OLD_HEAD.size, file.read(count * INDEX.itemsize), checksum, None
    plan = HEAD.unpack(start + file.read(HEAD.size - len(start)))[-1]
    index = file.read(count * INDEX.itemsize) if magic == MAGIC else b"corrupt"
    return HEAD.size, index, checksum, plan


class BlockFile:
    """The verified index of a block file; its records are read by `SampleFiles`.

    Args:
        path: the file; layout: of its records; plan: checksum of the plan.
    Attributes:
        index: `(samples,)` entries of `INDEX`.
        index_offset: bytes of the file before the index.
        positions, skipped: numbers of positions and of skipped samples.
    Raises:
        ValueError: the file is missing or has the wrong size, its index is corrupt, or it is a
            block of another plan.
    """

    def __init__(self, path: Path, layout: Layout, plan: int) -> None:
        self.path = path
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                self.index_offset, stored, checksum, own_plan = _read_index(file)
        except (OSError, struct.error) as error:
            raise ValueError(f"{path}: cannot be read: {error}; {AGAIN}") from error
        if zlib.crc32(stored) != checksum or len(stored) % INDEX.itemsize:
            raise ValueError(f"{path}: corrupt: checksum mismatch of its index; {AGAIN}")
        if own_plan not in (None, plan):
            raise ValueError(
                f"{path}: is a block of another cache (another teacher, other data or flags): "
                f"expected the plan's checksum {plan}, got {own_plan}; {AGAIN}"
            )
        self.index = np.frombuffer(stored, INDEX)
        self.positions = int(position_counts(self.index).sum())
        self.skipped = int((self.index["count"] == SKIPPED).sum())
        records = self.positions * layout.dtype.itemsize
        expected = self.index_offset + len(stored) + records
        if size != expected:
            raise ValueError(f"{path}: corrupt: expected {expected} bytes, got {size}; {AGAIN}")


def position_counts(index: NDArray[Any]) -> NDArray[np.int64]:
    """Return `(n,)` numbers of positions of entries of an index; skipped samples have none."""
    return np.where(index["count"] == SKIPPED, 0, index["count"]).astype(np.int64)
