"""A teacher that was asked beforehand: its answers come from a cache, no model is loaded."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..compat.batches import DUMMY_BATCH
from ..losses.model_output import LogitsOutput, ModelOutput
from ..losses.top_k import TopKOutput
from ..shards import differences
from .cache.fingerprint import data_fingerprint, text_checksums
from .cache.layout import LPROBS, TOP_K
from .cache.reader import REBUILD, CacheReader
from .cache.tail import CacheUse, with_tail


class CachedTeacher:
    """Looks up the soft targets of a batch by epoch and sample number.

    Args:
        reader: of a finished cache.
        use: the flags of this training.
        criterion: the distillation criterion with its `task`.
    Raises:
        ValueError: the cache's temperature does not fit `use`.
    """

    def __init__(self, reader: CacheReader, use: CacheUse, criterion: Any) -> None:
        self.reader, self.use, self.criterion = reader, use, criterion
        self.epoch: int | None = None
        self._check_temperature()

    def _check_temperature(self) -> None:
        layout, given = self.reader.plan.layout, f"--kd-temperature {self.use.temperature}"
        if layout.temperature not in (1.0, self.use.temperature):
            raise ValueError(
                f"{given}: the cache {self.reader.folder} was built at temperature "
                f"{layout.temperature}, and can only be used at that"
            )
        ghost = layout.content == TOP_K and self.use.tail == "ghost"
        if ghost and layout.temperature != self.use.temperature:
            raise ValueError(
                f"{given}: the mass of the symbols outside the {layout.k} that the cache "
                f"{self.reader.folder} holds is known at temperature 1 only; build it with "
                f"lightpaff cache-teacher --temperature {self.use.temperature}, or take --kd-tail "
                "drop or uniform"
            )

    def begin_epoch(self, epoch: int, split: str) -> None:
        """Checks, before an epoch's first update, that the cache is one of these data.

        Args:
            epoch: counted from 1; split: name of the training set, loaded in the task.
        Raises:
            ValueError: the epoch is not there; or lists every difference between the data that
                the cache was built from and these.
        """
        if self.epoch is None:
            here = data_fingerprint(self.criterion.task, split, self.criterion)
            found = differences(self.reader.plan.data, here, "in the cache")
            if found:
                raise ValueError(
                    f"--kd-cache {self.reader.folder} is of other data or flags: "
                    f"{'; '.join(found)}. Train with the same, or {REBUILD}"
                )
        self.reader.check_epoch(epoch)
        self.epoch = epoch

    def soft_targets(
        self, student: nn.Module, sample: dict[str, Any], positions: Tensor
    ) -> ModelOutput | TopKOutput:
        """What the cache holds for `positions` `(B, T)` (bool), on the student's device; for a
        batch whose loss does not count, which may be of any data, just anything of that form.

        Raises:
            ValueError: a record is damaged, missing, or one of another text.
        """
        device = next(student.parameters()).device
        if DUMMY_BATCH in sample:
            return self._anything(int(positions.sum()), device)
        if self.epoch is None:
            self.begin_epoch(1, "train")
        labels = positions if self.criterion.teacher_sees_labels else None
        texts = text_checksums(sample, self.criterion.padding_idx, labels)
        records, counts = self.reader.read(self.epoch or 1, sample["id"].tolist(), texts)
        expected = positions.sum(1).cpu().numpy()
        if not np.array_equal(counts, expected):
            wrong = int(np.flatnonzero(counts != expected)[0])
            raise ValueError(
                f"--kd-cache {self.reader.folder}: sample {sample['id'][wrong]} has "
                f"{expected[wrong]} predicted positions here, {counts[wrong]} in the cache: "
                f"{REBUILD}"
            )
        layout = self.reader.plan.layout
        if layout.content != TOP_K:
            values = layout.values(records).to(device)
            at = layout.temperature if layout.content == LPROBS else 1.0  # the loss divides by it
            return LogitsOutput(values * at if at != 1 else values)
        ids, lprobs = (x.to(device) for x in layout.decode(records))
        return with_tail(ids, lprobs, layout, self.use)

    def _anything(self, count: int, device: torch.device) -> ModelOutput | TopKOutput:
        layout = self.reader.plan.layout
        if layout.content != TOP_K:
            return LogitsOutput(torch.zeros(count, layout.vocab, device=device))
        ids = torch.arange(layout.k, device=device).expand(count, -1)
        lprobs = torch.full((count, layout.k + 1), -math.log(layout.k + 1), device=device)
        return with_tail(ids, lprobs, layout, self.use)
