"""Read a finished cache: records by epoch and sample number, verified when they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...shards import PLAN
from .block_file import SKIPPED
from .header import HEADER, read_plan
from .layout import Records
from .sample_files import SampleFiles

REBUILD = "rebuild it with lightpaff cache-teacher"


class CacheReader:
    """A finished cache, whose blocks are opened and verified when they are first read.

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
        self._files = SampleFiles(folder, self.plan)

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
        stored = self.plan.stored_epochs
        if self.plan.epochs and epoch not in stored:
            last = stored[-1] + stored.step - 1  # a later one needs this cache again
            kept = f"1 to {last}" if stored.step == 1 else ", ".join(map(str, stored))
            raise ValueError(
                f"{self._given}: epoch {epoch} is not stored, only epochs {kept}: stop with "
                f"--max-epoch {last}, or rebuild it with lightpaff cache-teacher --epochs {epoch} "
                "or more"
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
        samples, last = np.asarray(ids, dtype=np.int64), self.plan.bounds[-1]
        outside = samples[(samples < 0) | (samples >= last)]
        if len(outside):
            raise ValueError(
                f"{self._given}: expected sample numbers below {last}, got {outside[0]}"
            )
        if not self.plan.epochs:
            epoch = self.plan.first_epoch
        blocks, rows = self._files.place(epoch, samples)
        parts = [b""] * len(samples)
        for i in np.argsort(blocks, kind="stable").tolist():  # each file is opened at most once
            parts[i] = self._sample(int(blocks[i]), int(rows[i]), texts[i])
        size = self.plan.layout.dtype.itemsize
        counts = np.array([len(x) // size for x in parts], dtype=np.int64)
        return np.frombuffer(bytearray().join(parts), self.plan.layout.dtype), counts

    def _sample(self, block: int, row: int, text: int) -> bytes:
        entry, records = self._files.read(block, row)
        epoch, number = self._files.sample(block, row)
        if entry["count"] == SKIPPED:
            raise ValueError(
                f"{self._given}: sample {number} was too long for the teacher "
                f"({self.plan.max_positions} positions): leave it out of training too, by "
                "--max-source-positions, --max-target-positions or --max-positions"
            )
        if int(entry["text"]) != text:
            raise ValueError(
                f"{self._given}: sample {number} of epoch {epoch} has changed since the cache was "
                f"built (the data, their order, the masks or the truncation): {REBUILD}"
            )
        return records
