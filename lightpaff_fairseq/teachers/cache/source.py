"""The teacher's answers to the samples of a data set, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fairseq import utils
from fairseq.tasks import FairseqTask
from torch import Tensor
from torch.utils.data import DataLoader

from ...losses.model_output import ModelOutput
from .block import Item
from .fingerprint import sample_sizes, text_checksums
from .layout import Layout

ROWS = 256  # positions whose probabilities are sorted at a time
PROBE = 64  # samples looked at before the work begins


@dataclass(frozen=True)
class Batching:
    """How samples are put together: fairseq's --max-tokens, --batch-size and --num-workers."""

    max_tokens: int | None
    batch_size: int | None
    workers: int


def batching_of(data: Any, tokens: int) -> Batching:
    """What fairseq's flags of a data set say; `tokens` a batch where they say nothing."""
    most = data.max_tokens or (None if data.batch_size else tokens)
    return Batching(most, data.batch_size, data.num_workers)


def batches(dataset: Any, indices: Any, batching: Batching) -> Any:
    """Collated batches of samples `(n,)` of a fairseq data set: in this order, none dropped."""
    limits = {"max_tokens": batching.max_tokens, "max_sentences": batching.batch_size}
    found = dataset.batch_by_size(indices, **limits, required_batch_size_multiple=1)
    return DataLoader(
        dataset,
        batch_sampler=[[int(i) for i in batch] for batch in found],
        collate_fn=dataset.collater,
        num_workers=batching.workers,
    )


class Source:
    """A loaded data set and the teachers that are asked about it.

    Args:
        task: with the split loaded; split: its name.
        criterion: a distillation criterion: it knows which positions are predicted.
        teacher: an `OnlineTeacher` on its device.
        batching: of the teacher's forward passes.
    """

    def __init__(
        self, task: FairseqTask, split: str, criterion: Any, teacher: Any, batching: Batching
    ) -> None:
        self.dataset: Any = task.dataset(split)
        self.criterion, self.teacher, self.batching = criterion, teacher, batching
        limits = (model.max_positions() for model in teacher.models)
        self.max_positions = utils.resolve_max_positions(task.max_positions(), *limits)
        sizes = sample_sizes(self.dataset)
        self.tokens = sizes.reshape(len(sizes), -1).max(-1)  # of the longer side

    def set_epoch(self, epoch: int) -> None:
        """Chooses the masks of an epoch, counted from 1."""
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)

    def bounds(self, block_tokens: int) -> list[int]:
        """First sample of every block of about so many tokens, and the number of samples."""
        ends = np.cumsum(self.tokens)
        found = [0]
        while found[-1] < len(ends):
            before = ends[found[-1]] - self.tokens[found[-1]]
            end = int(np.searchsorted(ends, before + block_tokens, side="right"))
            found.append(max(end, found[-1] + 1))
        return found

    def probe(self) -> tuple[int, float]:
        """V, and the share of tokens that are predicted, from some samples evenly spread.

        Raises:
            ValueError: the data set holds nothing that the teacher can take.
        """
        usable = self._usable(np.arange(len(self.tokens)))
        if not len(usable):
            raise ValueError(
                f"no sample is within the {self.max_positions} positions that task and teacher take"
            )
        chosen = usable[:: max(1, len(usable) // PROBE)][:PROBE]
        vocab, positions = 0, 0
        for index in chosen.tolist():
            sample = self.dataset.collater([self.dataset[index]])
            positions += int(self.criterion.label_positions(sample).sum())
        vocab = self._ask(self._moved(sample))[1].vocab_size
        return vocab, positions / int(self.tokens[chosen].sum())

    def items(self, first: int, count: int, layout: Layout) -> list[Item | None]:
        """What a block stores of samples `first` to `first + count - 1`; None: too long."""
        found: list[Item | None] = [None] * count
        for sample in self._batches(np.arange(first, first + count)):
            for number, item in self._answers(sample, layout):
                found[number - first] = item
        return found

    def _usable(self, indices: Any) -> Any:
        """Those of `(n,)` sample numbers that hold text and are short enough."""
        indices = indices[self.tokens[indices] > 0]
        return np.asarray(self.dataset.filter_indices_by_size(indices, self.max_positions)[0])

    def _batches(self, indices: Any) -> Iterator[dict[str, Any]]:
        """Batches of the usable samples, of similar lengths, on the teacher's device."""
        usable = self._usable(indices)
        if not len(usable):
            return
        ordered = usable[np.argsort(-self.tokens[usable], kind="stable")]
        for sample in batches(self.dataset, ordered, self.batching):
            yield self._moved(sample)

    def _moved(self, sample: dict[str, Any]) -> dict[str, Any]:
        on_gpu = next(self.teacher.model.parameters()).is_cuda
        moved: dict[str, Any] = utils.move_to_cuda(sample) if on_gpu else sample
        return moved

    def _ask(self, sample: dict[str, Any]) -> tuple[Tensor, ModelOutput]:
        """Predicted positions `(B, T)` and the teacher's readout of them."""
        positions = self.criterion.label_positions(sample)
        return positions, self.teacher.soft_targets(self.teacher.model, sample, positions)

    @torch.no_grad()
    def _answers(self, sample: dict[str, Any], layout: Layout) -> Iterator[tuple[int, Item]]:
        """Sample numbers and what is stored of them."""
        positions, readout = self._ask(sample)
        labels = positions if self.criterion.teacher_sees_labels else None
        texts = text_checksums(sample, self.criterion.padding_idx, labels)
        counts = positions.sum(1).tolist()
        starts = range(0, sum(counts), ROWS)
        parts = [layout.encode(readout.logits(slice(start, start + ROWS))) for start in starts]
        records = np.concatenate([np.empty(0, layout.dtype), *parts])
        ends = np.cumsum(counts).tolist()
        for number, text, count, end in zip(
            sample["id"].tolist(), texts, counts, ends, strict=True
        ):
            yield number, Item(records[end - count : end], text)
