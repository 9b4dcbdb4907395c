"""Compute the teacher's outputs for the samples of a dataset, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fairseq import tasks, utils
from fairseq.tasks import FairseqTask
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from ...checkpoints.building import writable
from ...losses.label_positions import LabelPositions
from ...problems import as_value_error
from ...protocols import Prediction, Sample
from ...shards import Block
from ..mapped import MappedTeacher
from ..online import OnlineTeacher
from .block_file import Item
from .draws import uniform_numbers
from .fingerprint import sample_sizes, text_checksums
from .layout import DRAWS, ROWS, Layout, draw_from

UNLIMITED = 2**31  # positions
PROBE = 64  # samples for the estimate of the size


@dataclass(frozen=True)
class Batching:
    """fairseq's --max-tokens, --batch-size and --num-workers."""

    max_tokens: int | None
    batch_size: int | None
    workers: int


def batching_of(dataset_cfg: Any, tokens: int) -> Batching:
    """Return the flags of fairseq's `dataset` group; by default `tokens` per batch."""
    max_tokens = dataset_cfg.max_tokens or (None if dataset_cfg.batch_size else tokens)
    return Batching(max_tokens, dataset_cfg.batch_size, dataset_cfg.num_workers)


def set_up_task(task_cfg: Any, split: str = "train") -> Any:
    """Set up fairseq's task over its data.

    Args:
        split: is read from every folder of DATA, as fairseq does with that of a training.
    Raises:
        ValueError: they are not data of this task.
    """
    name, data = task_cfg._name, getattr(task_cfg, "data", None)
    if hasattr(task_cfg, "train_subset"):
        with writable(task_cfg):
            task_cfg.train_subset = split
    with as_value_error(f"{data}: expected binarized data of --task {name}"):
        return tasks.setup_task(task_cfg)


def load_split(task: FairseqTask, split: str, shard: int = 1) -> None:
    """Load a split with all its parts (`train`, `train1`, ...), as `fairseq-train` does.

    Args:
        shard: number of the folder of DATA, from 1.
    Raises:
        ValueError: it is missing, empty or corrupt.
    """
    try:
        task.load_dataset(split, epoch=shard, combine=True)
    except (OSError, ValueError, AssertionError) as error:
        raise ValueError(
            f"--split {split}: expected binarized data of the task, got an error: {error}"
        ) from error


def place(model: nn.Module, common_cfg: Any) -> nn.Module:
    """Move a model to the device and precision of fairseq's --cpu and --fp16."""
    device = "cuda" if torch.cuda.is_available() and not common_cfg.cpu else "cpu"
    return model.to(device=device, dtype=torch.float16 if common_cfg.fp16 else torch.float32)


def to_device_of(model: nn.Module, sample: Sample) -> Sample:
    """Return a batch on the device of a model."""
    on_gpu = next(model.parameters()).is_cuda
    moved: Sample = utils.move_to_cuda(sample) if on_gpu else sample
    return moved


def batches(dataset: Any, indices: Any, batching: Batching) -> Any:
    """Return a loader of samples `(n,)` of a fairseq dataset, all of them in this order."""
    limits = {"max_tokens": batching.max_tokens, "max_sentences": batching.batch_size}
    sampler = dataset.batch_by_size(indices, **limits, required_batch_size_multiple=1)
    return DataLoader(
        prefetched(dataset, indices),
        batch_sampler=[[int(i) for i in batch] for batch in sampler],
        collate_fn=dataset.collater,
        num_workers=batching.workers,
    )


def check_longest(tokens: NDArray[Any], batching: Batching) -> None:
    """Check that a batch takes the longest of some samples, of `(n,)` tokens.

    Raises:
        ValueError: --max-tokens is below it.
    """
    longest, limit = int(tokens.max(initial=0)), batching.max_tokens
    if limit and longest > limit:
        raise ValueError(f"--max-tokens {limit}: expected at least the longest sample, {longest}")


def prefetched(dataset: Any, indices: Any) -> Any:
    """Return a dataset after it has read some samples; data in fairseq's old format need it."""
    if getattr(dataset, "supports_prefetch", False):
        dataset.prefetch([int(i) for i in indices])
    return dataset


class Source:
    """A dataset and a teacher.

    Args:
        task: with the split loaded; split: its name.
        prediction: of the criterion; determines the predicted positions.
        teacher: on its device.
        batching: of the teacher's forward passes.
        seed: of draws from the teacher.
    """

    def __init__(
        self,
        task: FairseqTask,
        split: str,
        prediction: Prediction,
        teacher: OnlineTeacher | MappedTeacher,
        batching: Batching,
        *,
        seed: int = 1,
    ) -> None:
        self.task, self.split, self.seed = task, split, seed
        self.dataset: Any = task.dataset(split)
        self.prediction, self.teacher, self.batching = prediction, teacher, batching
        limits = task.max_positions(), *teacher.sample_limits
        self.max_positions = utils.resolve_max_positions(*limits) or UNLIMITED
        sizes = sample_sizes(self.dataset)
        self.tokens = sizes.reshape(len(sizes), -1).max(-1)  # of the longer side

    def bounds(self, block_tokens: int) -> list[int]:
        """Return the first samples of blocks of about `block_tokens`, and the dataset's size."""
        ends = np.cumsum(self.tokens)
        bounds = [0]
        while bounds[-1] < len(ends):
            before = ends[bounds[-1]] - self.tokens[bounds[-1]]
            end = int(np.searchsorted(ends, before + block_tokens, side="right"))
            bounds.append(max(end, bounds[-1] + 1))
        return bounds

    def probe(self) -> tuple[int, float]:
        """Return V, and the share of predicted tokens, estimated from evenly spaced samples.

        Raises:
            ValueError: no sample is short enough for task and teacher, or one does not fit into a
                batch.
        """
        usable = self._usable(np.arange(len(self.tokens)))
        if not len(usable):
            raise ValueError(
                f"expected samples of at most {self.max_positions} positions, the limit of task "
                "and teacher, got only longer ones"
            )
        check_longest(self.tokens[usable], self.batching)
        chosen = usable[:: max(1, len(usable) // PROBE)][:PROBE]
        positions = 0
        for index in chosen.tolist():
            sample = self.dataset.collater([prefetched(self.dataset, [index])[index]])
            positions += self.teacher.count(sample, self._positions(sample))
        sample = to_device_of(self.teacher.model, sample)
        _, output = self.teacher.outputs(sample, self._positions(sample))
        return output.vocab_size, positions / int(self.tokens[chosen].sum())

    def bytes_per_position(self, layout: Layout) -> float:
        """Return the size of a position's records, of draws estimated as in `probe`."""
        if layout.content != DRAWS:
            return layout.dtype.itemsize
        usable = self._usable(np.arange(len(self.tokens)))
        chosen = usable[:: max(1, len(usable) // PROBE)][:PROBE]
        size = positions = 0
        for sample in self._batches(chosen):
            positions += self.teacher.count(sample, self._positions(sample))
            size += sum(x.records.nbytes for _, x in self._batch_items(sample, layout, 1))
        return size / max(1, positions)

    def items(self, block: Block, layout: Layout) -> list[Item | None]:
        """Compute the items of a block; None: the sample is too long."""
        if hasattr(self.dataset, "set_epoch"):  # chooses the masks
            self.dataset.set_epoch(block.epoch)
        items: list[Item | None] = [None] * block.count
        for sample in self._batches(np.arange(block.first, block.first + block.count)):
            for number, item in self._batch_items(sample, layout, block.epoch):
                items[number - block.first] = item
        return items

    def _usable(self, indices: NDArray[Any]) -> NDArray[Any]:
        """Return those of `(n,)` sample numbers that are not empty and short enough."""
        indices = indices[self.tokens[indices] > 0]
        return np.asarray(self.dataset.filter_indices_by_size(indices, self.max_positions)[0])

    def _batches(self, indices: NDArray[Any]) -> Iterator[Sample]:
        """Yield batches of the usable samples, of similar lengths, on the teacher's device."""
        usable = self._usable(indices)
        if not len(usable):
            return
        ordered = usable[np.argsort(-self.tokens[usable], kind="stable")]
        for sample in batches(self.dataset, ordered, self.batching):
            yield to_device_of(self.teacher.model, sample)

    def _positions(self, sample: Sample) -> LabelPositions:
        """Return the predicted positions."""
        return LabelPositions.of(self.prediction.label_positions(sample))

    @torch.no_grad()
    def _batch_items(
        self, sample: Sample, layout: Layout, epoch: int
    ) -> Iterator[tuple[int, Item]]:
        """Yield sample numbers and their items."""
        positions = self._positions(sample)
        counts, output = self.teacher.outputs(sample, positions)
        labels = positions.mask if self.prediction.output_depends_on_labels else None
        texts = text_checksums(sample, self.prediction.padding_idx, labels)
        ids = sample["id"].tolist()
        if layout.content == DRAWS:
            numbers = uniform_numbers(self.seed, epoch, ids, counts, layout.k)
            records, counts = draw_from(output, numbers, counts, layout)
        else:
            starts = range(0, sum(counts), ROWS)
            parts = [layout.encode(output.logits(slice(start, start + ROWS))) for start in starts]
            records = np.concatenate([np.empty(0, layout.dtype), *parts])
        ends = np.cumsum(counts).tolist()
        for number, text, count, end in zip(ids, texts, counts, ends, strict=True):
            yield number, Item(records[end - count : end], text)
