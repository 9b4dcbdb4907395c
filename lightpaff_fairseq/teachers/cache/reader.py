"""Reading a finished cache: records by epoch and sample number, each checked when it is read."""

import bisect
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .block import Block
from .header import HEADER, PLAN, block_name, read_plan
from .layout import Records

MAPPED = 256  # files at a time: each takes a file descriptor, and systems allow about 1,000
REBUILD = "build it anew with lightpaff cache-teacher"


class CacheReader:
    """A finished cache. Blocks are opened when they are first asked for.

    Args:
        folder: what `lightpaff cache-teacher --out` named.
        flag: the flag that named it here, for error messages.
    Raises:
        ValueError: it is no cache, not finished, of another version, or files are missing.
    """

    def __init__(self, folder: Path, flag: str) -> None:
        self.folder, self._given = folder, f"{flag} {folder}"
        if not folder.is_dir():
            raise ValueError(f"{self._given}: no such folder")
        if not (folder / HEADER).is_file():
            raise ValueError(f"{self._given}: {self._unfinished()}")
        try:
            self.plan, contents = read_plan(folder / HEADER)
        except ValueError as error:
            raise ValueError(f"{self._given}: {error}") from error
        if contents is None:
            raise ValueError(f"{self._given}: {HEADER} is a plan, not a header: {REBUILD}")
        self.positions, self.skipped = sum(contents.positions), contents.skipped
        self._names = {(e, first): block_name(e, first) for e, first, _ in self.plan.blocks}
        missing = [name for name in self._names.values() if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"{self._given}: {len(missing)} files are missing: {missing[0]}, ...")
        self._open: dict[tuple[int, int], Block] = {}
        self._mapped: OrderedDict[tuple[int, int], Block] = (
            OrderedDict()
        )  # the last used at the end

    def _unfinished(self) -> str:
        if not (self.folder / PLAN).is_file():
            return f"expected the output of lightpaff cache-teacher, found no {HEADER} in it"
        plan, _ = read_plan(self.folder / PLAN)
        there = sum((self.folder / block_name(e, a)).is_file() for e, a, _ in plan.blocks)
        return (
            f"not finished: {there} of {len(plan.blocks)} blocks are there; run the same lightpaff "
            "cache-teacher command again (or the shards that are missing)"
        )

    def check_epoch(self, epoch: int) -> None:
        """Refuses an epoch whose masks are not stored.

        Raises:
            ValueError: says which are, and what to do.
        """
        if self.plan.epochs and not 1 <= epoch <= self.plan.epochs:
            raise ValueError(
                f"{self._given}: epoch {epoch} is not there, it holds the masks of epochs 1 to "
                f"{self.plan.epochs}: stop with --max-epoch {self.plan.epochs}, or build it with "
                f"lightpaff cache-teacher --epochs N (N of {epoch} or more)"
            )

    def read(self, epoch: int, ids: Sequence[int], texts: Sequence[int]) -> tuple[Records, Any]:
        """Records of samples, in the order that is asked for.

        Args:
            epoch: counted from 1; of no importance where samples are the same in every epoch.
            ids: sample numbers; texts: the checksums of their texts here.
        Returns:
            `(N,)` records of all their positions, and `(len(ids),)` numbers of positions.
        Raises:
            ValueError: a sample is damaged, was skipped, or another text.
        """
        found = [
            self._sample(epoch if self.plan.epochs else 1, *x) for x in zip(ids, texts, strict=True)
        ]
        size = self.plan.layout.dtype.itemsize
        joined = np.concatenate([np.empty(0, np.uint8), *found])
        counts = np.array([len(x) // size for x in found], dtype=np.int64)
        return joined.view(self.plan.layout.dtype), counts

    def _sample(self, epoch: int, number: int, text: int) -> NDArray[Any]:
        bounds = self.plan.bounds
        if not 0 <= number < bounds[-1]:
            raise ValueError(f"{self._given}: sample {number} is not there, {bounds[-1]} are")
        first = bounds[bisect.bisect_right(bounds, number) - 1]
        block = self._block(epoch, first)
        records = block.read(number - first)
        if records is None:
            raise ValueError(
                f"{self._given}: sample {number} was too long for the teacher "
                f"({self.plan.max_positions} positions): leave it out of training as well, with "
                "--max-source-positions, --max-target-positions or --max-positions"
            )
        if int(block.index["text"][number - first]) != text:
            raise ValueError(
                f"{self._given}: sample {number} of epoch {epoch} is another text here than the "
                "one it was built from (the data, their order, the masks or what is cut off have "
                f"changed): {REBUILD}"
            )
        return records

    def _block(self, epoch: int, first: int) -> Block:
        key = epoch, first
        if key not in self._open:
            block = Block(self.folder / self._names[key], self.plan.layout)
            last = self.plan.bounds[self.plan.bounds.index(first) + 1]
            if len(block.index) != last - first:
                raise ValueError(
                    f"{block.path}: expected {last - first} samples, found {len(block.index)}"
                )
            self._open[key] = block
        self._mapped[key] = self._open[key]
        self._mapped.move_to_end(key)
        if len(self._mapped) > MAPPED:
            self._mapped.popitem(last=False)[1].release()
        return self._open[key]
