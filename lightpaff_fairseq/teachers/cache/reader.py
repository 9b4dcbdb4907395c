"""Read a finished cache: records by epoch and sample number, verified when they are read."""

import bisect
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...shards import PLAN, Block
from .block_file import BlockFile
from .header import HEADER, read_plan
from .layout import Records

MAPPED = 256  # maximum of open files: each takes a file descriptor, often limited to 1,024
REBUILD = "rebuild it with lightpaff cache-teacher"


class CacheReader:
    """A finished cache, whose blocks are opened when they are first read.

    Args:
        folder: the output of `lightpaff cache-teacher`; flag: the flag that names it.
    Raises:
        ValueError: the folder is not a finished cache of this version, or files are missing.
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
            raise ValueError(f"{self._given}: expected a header in {HEADER}, got a plan: {REBUILD}")
        self.positions, self.skipped = sum(contents.positions), contents.skipped
        missing = self.plan.folder(folder).missing()
        if missing:
            files = f"{len(missing)} files are missing: {missing[0].file}, ..."
            raise ValueError(f"{self._given}: {files}")
        self._blocks = {(block.epoch, block.first): block for block in self.plan.blocks}
        self._open: dict[Block, BlockFile] = {}
        self._mapped: OrderedDict[Block, BlockFile] = OrderedDict()  # least recently used first

    def _unfinished(self) -> str:
        if not (self.folder / PLAN).is_file():
            return f"expected the output of lightpaff cache-teacher, got a folder without {HEADER}"
        plan, _ = read_plan(self.folder / PLAN)
        missing = len(plan.folder(self.folder).missing())
        return (
            f"not finished: {len(plan.blocks) - missing} of {len(plan.blocks)} blocks are there; "
            "run the same lightpaff cache-teacher command (or that of the missing shards) again"
        )

    def check_epoch(self, epoch: int) -> None:
        """Raise ValueError if an epoch is not stored."""
        if self.plan.epochs and not 1 <= epoch <= self.plan.epochs:
            raise ValueError(
                f"{self._given}: epoch {epoch} is not stored, only epochs 1 to "
                f"{self.plan.epochs}: stop with --max-epoch {self.plan.epochs}, or rebuild it with "
                f"lightpaff cache-teacher --epochs {epoch} or more"
            )

    def read(self, epoch: int, ids: Sequence[int], texts: Sequence[int]) -> tuple[Records, Any]:
        """Read the records of some samples.

        Args:
            epoch: counted from 1; ignored if samples are the same in every epoch.
            ids: sample numbers; texts: checksums of the samples of the training run.
        Returns:
            `(N,)` records of all positions, in the order of `ids`, and `(len(ids),)` numbers of
            positions.
        Raises:
            ValueError: a sample is corrupt, was skipped, or has another text.
        """
        epoch = epoch if self.plan.epochs else 1
        parts = [self._sample(epoch, *x) for x in zip(ids, texts, strict=True)]
        size = self.plan.layout.dtype.itemsize
        joined = np.concatenate([np.empty(0, np.uint8), *parts])
        counts = np.array([len(x) // size for x in parts], dtype=np.int64)
        return joined.view(self.plan.layout.dtype), counts

    def _sample(self, epoch: int, number: int, text: int) -> NDArray[Any]:
        bounds = self.plan.bounds
        if not 0 <= number < bounds[-1]:
            raise ValueError(
                f"{self._given}: expected sample numbers below {bounds[-1]}, got {number}"
            )
        first = bounds[bisect.bisect_right(bounds, number) - 1]
        file = self._file(self._blocks[epoch, first])
        records = file.read(number - first)
        if records is None:
            raise ValueError(
                f"{self._given}: sample {number} was too long for the teacher "
                f"({self.plan.max_positions} positions): leave it out of training too, by "
                "--max-source-positions, --max-target-positions or --max-positions"
            )
        if int(file.index["text"][number - first]) != text:
            raise ValueError(
                f"{self._given}: sample {number} of epoch {epoch} has changed since the cache was "
                f"built (the data, their order, the masks or the truncation): {REBUILD}"
            )
        return records

    def _file(self, block: Block) -> BlockFile:
        if block not in self._open:
            file = BlockFile(self.folder / block.file, self.plan.layout, self.plan.checksum)
            if len(file.index) != block.count:
                raise ValueError(
                    f"{file.path}: expected {block.count} samples, got {len(file.index)}"
                )
            self._open[block] = file
        self._mapped[block] = self._open[block]
        self._mapped.move_to_end(block)
        if len(self._mapped) > MAPPED:
            self._mapped.popitem(last=False)[1].release()
        return self._open[block]
