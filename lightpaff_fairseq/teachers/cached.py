"""Soft targets from a cache of precomputed teacher outputs; no teacher model is loaded."""

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..losses.label_positions import LabelPositions
from ..losses.mapped import MappedOutput
from ..losses.model_output import LogitsOutput
from ..losses.position_selection import DeferredOutput
from ..losses.position_selection import Teacher as TeacherOutput
from ..losses.sampled import DIVERGENCES_OF_DRAWS, SampledOutput, SoftTargets
from ..problems import Problems
from ..protocols import DUMMY_BATCH, Prediction, Sample, Task
from ..shards import differences
from .cache.draws import decode_samples
from .cache.fingerprint import data_fingerprint, text_checksums
from .cache.layout import DRAWS, LPROBS, TOP_K, VALUES
from .cache.reader import REBUILD, CacheReader
from .cache.tail import TAILS, CacheUse, with_tail
from .prepared_batch import Lookup, prepared_of

logger = logging.getLogger(__name__)


class CachedTeacher:
    """Soft targets that are looked up by epoch and sample number.

    Args:
        folder: `--kd-cache`.
        use: the flags of the training run.
        prediction: of the criterion; task: of the student.
    Raises:
        ValueError: the folder is not a finished cache, or does not fit the flags.
    """

    model = None

    def __init__(self, folder: Path, use: CacheUse, prediction: Prediction, task: Task) -> None:
        self.reader = CacheReader(folder, "--kd-cache")
        self.use, self._prediction, self._task = use, prediction, task
        self._epoch: int | None = None
        self._check_layout()
        layout = self.reader.plan.layout
        size = f"{self.reader.positions:,} positions, {layout.k} tokens each"
        if layout.content == DRAWS:
            size = f"{self.reader.positions:,} tokens of {layout.k} draws per position"
        logger.info(f"teacher: cache {folder}, {size}")
        if self.reader.skipped:
            logger.warning(
                f"--kd-cache {folder}: {self.reader.skipped} samples were too long for the teacher "
                f"({self.reader.plan.max_positions} positions); training stops at any of them"
            )

    def _check_layout(self) -> None:
        layout, flag = self.reader.plan.layout, f"--kd-temperature {self.use.temperature}"
        if self._prediction.is_regression != (layout.content == VALUES):
            expected = VALUES if self._prediction.is_regression else "probabilities"
            raise ValueError(
                f"--kd-cache {self.reader.folder}: expected {expected}, got {layout.content}: "
                f"{REBUILD}"
            )
        if layout.temperature not in (1.0, self.use.temperature):
            raise ValueError(
                f"{flag}: expected {layout.temperature}, the temperature of the cache "
                f"{self.reader.folder}"
            )
        if layout.content == DRAWS:
            self._check_draws(layout.temperature)
            return
        is_ghost = layout.content == TOP_K and self.use.tail == "ghost"
        if is_ghost and layout.temperature != self.use.temperature:
            raise ValueError(
                f"{flag}: expected 1.0, the temperature at which the cache {self.reader.folder} "
                "stores the mass of the other tokens; rebuild it with lightpaff cache-teacher "
                f"--temperature {self.use.temperature}, or use --kd-tail drop or uniform"
            )

    def _check_draws(self, temperature: float) -> None:
        """Collect the flags that draws cannot serve."""
        folder, use, problems = (
            f"the draws of --kd-cache {self.reader.folder}",
            self.use,
            Problems(),
        )
        kind = use.divergence.kind
        problems.unless(
            use.temperature == temperature,
            f"--kd-temperature {use.temperature}: expected {temperature}, that of {folder}",
        )
        problems.unless(
            kind in DIVERGENCES_OF_DRAWS,
            f"--kd-divergence {use.divergence.name}: expected "
            f"{' or '.join(DIVERGENCES_OF_DRAWS)} for {folder}",
        )
        problems.unless(use.tail == TAILS[0], f"--kd-tail {use.tail}: has no effect on {folder}")
        needs_teacher = use.selection is not None and use.selection.score.needs_teacher
        problems.unless(
            not needs_teacher,
            f"--kd-select {use.selection and use.selection.name}: expected a score without the "
            f"teacher for {folder}",
        )
        problems.raise_if_any()

    @property
    def names(self) -> tuple[str, ...]:
        """The flag and the folder."""
        return (f"--kd-cache {self.reader.folder}",)

    def prepare(self, student: nn.Module) -> None:
        """Do nothing: a cache fits any student."""

    def begin_epoch(self, epoch: int, split: str) -> None:
        """Check that the epoch is in the cache, and on the first call that the data match."""
        if self._epoch is None and (problem := self.data_problem(split)):
            raise ValueError(problem)
        self.reader.check_epoch(epoch)
        self._epoch = epoch

    def data_problem(self, split: str) -> str | None:
        """Return a message if the loaded split is not the one that the cache was built from."""
        problems = differences(self.reader.plan.data, self._fingerprint(split), "in the cache")
        if not problems:
            return None
        return (
            f"--kd-cache {self.reader.folder}: built with other data or flags: "
            f"{'; '.join(problems)}. Train with the same ones, or {REBUILD}"
        )

    def _fingerprint(self, split: str) -> dict[str, Any]:
        """Return that of a loaded split."""
        return data_fingerprint(self._task, split, self._prediction)

    def soft_targets(
        self, student: nn.Module, sample: Sample, positions: LabelPositions
    ) -> TeacherOutput | MappedOutput:
        """Look up the output at N positions, unless the loader's workers have done so.

        A dummy batch, whose loss does not count, gets arbitrary values. With a selection,
        records are read when the loss has chosen positions: those of the samples with any.

        Raises:
            ValueError: a record is corrupt, missing, or of another text.
        """
        device = next(student.parameters()).device
        if DUMMY_BATCH in sample:
            return self._output(self._dummy(len(positions), device))
        if self._epoch is None:
            self.begin_epoch(1, "train")
        epoch, prepared = self._epoch or 1, prepared_of(sample)
        lookup = None if prepared is None else prepared.lookup
        if not isinstance(lookup, Lookup) or lookup.epoch != epoch:
            lookup = self.look_up(sample, positions, epoch)
        if lookup.problem is not None:
            raise ValueError(lookup.problem)
        if lookup.tensors is not None:
            return self._output(tuple(x.to(device, non_blocking=True) for x in lookup.tensors))
        vocab, batch = self.reader.plan.layout.vocab, lookup
        return DeferredOutput(vocab, lambda chosen: self._read_some(batch, chosen, device))

    def look_up(self, sample: Sample, positions: LabelPositions, epoch: int) -> Lookup:
        """Return the records of a batch, see `Lookup`; runs in the loader's workers, too."""
        return self._look_up(sample, positions, epoch, None)

    def _look_up(
        self, sample: Sample, positions: LabelPositions, epoch: int, rows: Tensor | None
    ) -> Lookup:
        """Look up a batch.

        Args:
            rows: `(M,)` numbers of the N positions that have records, the last of the tensors that
                are returned; None: all have, and no more tensors are returned.
        """
        labels = positions.mask if self._prediction.output_depends_on_labels else None
        texts = text_checksums(sample, self._prediction.padding_idx, labels)
        counts = positions.mask.sum(1).tolist() if rows is None else positions.counts(rows)
        batch = Lookup(sample["id"].tolist(), texts, counts, epoch)
        if self.use.selection is not None:
            return batch
        try:
            tensors = self._read(batch, None)
        except ValueError as error:
            return replace(batch, problem=str(error))
        return replace(batch, tensors=tensors if rows is None else (*tensors, rows.cpu()))

    def _read_some(self, batch: Lookup, chosen: Tensor, device: torch.device) -> SoftTargets:
        tensors = self._read(*batch.some(chosen))
        return self._stored(tuple(x.to(device) for x in tensors))

    def _read(self, batch: Lookup, chosen: Tensor | None) -> tuple[Tensor, ...]:
        """Read and decode a batch; `chosen`: numbers of its positions, None for all."""
        records, counts = self.reader.read(batch.epoch, batch.ids, batch.texts)
        layout = self.reader.plan.layout
        if layout.content == DRAWS:
            ids, shares, counts = decode_samples(records, counts, layout.vocab, layout.k)
            self._check_counts(counts, batch)
            return (ids, shares) if chosen is None else (ids[chosen], shares[chosen])
        self._check_counts(counts, batch)
        if chosen is not None:
            records = records[chosen.numpy()]
        return layout.decode(records) if layout.content == TOP_K else (layout.values(records),)

    def _output(self, tensors: tuple[Tensor, ...]) -> SoftTargets | MappedOutput:
        """Return what the loss takes of the tensors that `_look_up` returns."""
        return self._stored(tensors)

    def _stored(self, tensors: tuple[Tensor, ...]) -> SoftTargets:
        """Return the outputs that are stored, of the tensors that `_read` returns."""
        layout = self.reader.plan.layout
        if layout.content == DRAWS:
            return SampledOutput(tensors[0], tensors[1], layout.vocab)
        if layout.content == TOP_K:
            return with_tail(tensors[0], tensors[1], layout, self.use)
        at = layout.temperature if layout.content == LPROBS else 1.0  # the loss divides by it
        return LogitsOutput(tensors[0] * at if at != 1 else tensors[0])

    def _check_counts(self, counts: NDArray[np.int64], batch: Lookup) -> None:
        if not np.array_equal(counts, batch.counts):
            row = int(np.flatnonzero(counts != batch.counts)[0])
            raise ValueError(
                f"--kd-cache {self.reader.folder}: sample {batch.ids[row]} has {batch.counts[row]} "
                f"predicted positions here, {counts[row]} in the cache: {REBUILD}"
            )

    def _dummy(self, count: int, device: torch.device) -> tuple[Tensor, ...]:
        """Return arbitrary tensors of so many positions."""
        layout = self.reader.plan.layout
        if layout.content == DRAWS:
            ids = torch.zeros(count, 1, dtype=torch.int64, device=device)
            return ids, torch.ones(count, 1, device=device)
        if layout.content != TOP_K:
            return (torch.zeros(count, layout.vocab, device=device),)
        ids = torch.arange(layout.k, device=device).expand(count, -1)
        return ids, torch.full((count, layout.k + 1), -math.log(layout.k + 1), device=device)
