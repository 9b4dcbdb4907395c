"""What the loader's workers find out about a training batch, so that no GPU has to be asked.

`PreparingCollater` adds it to a batch as it is made: the positions that have a label, and the
records of a cache, or the tokens of a teacher with another vocabulary. The loader pins its memory,
and `trainer_hooks` moves it behind the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..losses.label_positions import LabelPositions
from ..protocols import PREPARED, Prediction, Sample
from .aligned_batch import AlignedBatch


@dataclass(frozen=True)
class Lookup:
    """The result of looking a batch up in a cache.

    Attributes:
        ids, texts, counts: of its samples: numbers, checksums, numbers of predicted positions.
        epoch: in which it was looked up.
        tensors: decoded records; None where they are read later (`--kd-select`), or by an error.
        problem: the error, which the training raises.
    """

    ids: list[int]
    texts: list[int]
    counts: list[int]
    epoch: int
    tensors: tuple[Tensor, ...] | None = None
    problem: str | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> "Lookup":
        """Return a copy with other tensors."""
        return replace(self, tensors=self.tensors and tuple(map(change, self.tensors)))

    def some(self, chosen: Tensor) -> tuple["Lookup", Tensor]:
        """Return the samples with chosen positions `(K,)`, and these positions' numbers in them."""
        chosen, counts = chosen.cpu(), torch.tensor(self.counts)
        rows = torch.arange(len(counts)).repeat_interleave(counts)[chosen]
        is_kept = torch.zeros_like(counts, dtype=torch.bool).index_fill_(0, rows, True)
        kept = is_kept.nonzero().squeeze(-1)
        numbers = is_kept.repeat_interleave(counts).cumsum(0) - 1
        parts = ([x[i] for i in kept.tolist()] for x in (self.ids, self.texts, self.counts))
        ids, texts, sizes = parts
        return Lookup(ids, texts, sizes, self.epoch), numbers[chosen]


@dataclass(frozen=True)
class PreparedBatch:
    """What is known of a batch besides its tensors.

    Attributes:
        positions: that have a label.
        lookup: in a cache, or in the teacher's tokens; None if there is nothing to look up.
        target: the batch's own, once it is on its device: by it a batch that a task has changed is
            told from this one.
    """

    positions: LabelPositions
    lookup: Lookup | AlignedBatch | None
    target: Tensor | None = None

    def pin_memory(self) -> "PreparedBatch":
        """Return a copy in pinned memory (PyTorch's loader calls this where there is a GPU)."""
        return self._each(lambda x: x.pin_memory())

    def moved(self, target: Tensor) -> "PreparedBatch":
        """Return a copy on the device of `target` `(B, T)`, behind the kernels issued so far."""
        copy = self._each(lambda x: x.to(target.device, non_blocking=True))
        return replace(copy, target=target)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "PreparedBatch":
        positions = LabelPositions(*map(change, (self.positions.mask, self.positions.numbers)))
        return replace(self, positions=positions, lookup=self.lookup and self.lookup.each(change))


def prepared_of(sample: Sample) -> PreparedBatch | None:
    """Return what was prepared of this very batch, if anything."""
    prepared: Any = sample.get(PREPARED)
    is_same = isinstance(prepared, PreparedBatch) and prepared.target is sample["target"]
    return prepared if is_same else None


def positions_of(sample: Sample, prediction: Prediction) -> LabelPositions:
    """Return the positions of a batch that have a label, prepared or computed."""
    prepared = prepared_of(sample)
    if prepared is not None:
        return prepared.positions
    return LabelPositions.of(prediction.label_positions(sample))


@runtime_checkable
class LooksUp(Protocol):
    """A teacher for which something of a batch is looked up on the CPU."""

    def look_up(
        self, sample: Sample, positions: LabelPositions, epoch: int
    ) -> Lookup | AlignedBatch:
        """Return the targets of a batch, or the error as `problem`; or what the teacher reads."""


class PreparingCollater:
    """fairseq's function that makes batches of samples, which prepares them, too.

    Args:
        collate: fairseq's; prediction: of the criterion; teacher: None if it looks nothing up.
    """

    def __init__(
        self, collate: Callable[[Any], Any], prediction: Prediction, teacher: LooksUp | None
    ) -> None:
        self._collate, self._prediction, self._teacher = collate, prediction, teacher
        # workers may outlive an epoch, but share memory with this process
        self._epoch = torch.ones((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def begin_epoch(self, epoch: int) -> None:
        """Take the number of the epoch of the batches that are made from now on."""
        self._epoch.fill_(epoch)

    def __call__(self, samples: Any) -> Any:
        """Return a batch, with its `PreparedBatch` if it is one that a criterion takes."""
        batch = self._collate(samples)
        if not isinstance(batch, dict) or not isinstance(batch.get("target"), Tensor):
            return batch
        sample: Any = batch
        positions = LabelPositions.of(self._prediction.label_positions(sample))
        lookup = None
        if self._teacher is not None:
            lookup = self._teacher.look_up(sample, positions, int(self._epoch))
        return {**batch, PREPARED: PreparedBatch(positions, lookup)}
