"""A cache of a teacher with another vocabulary: `--kd-cache` with `--kd-vocabulary-map`.

It holds the teacher's own tokens at the aligned positions of the student's samples, and is built
and read with the same map, by which its tokens are turned into the student's in the loss.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..losses.label_positions import LabelPositions
from ..losses.mapped import MappedOutput
from ..problems import Problems
from ..protocols import Prediction, Sample, Task
from .aligned_batch import BatchAligner
from .cache.layout import DRAWS, TOP_K
from .cache.reader import REBUILD
from .cache.tail import CacheUse
from .cached import CachedTeacher
from .mapped import LIMITS, check_divergence, draws_problem, log_sizes, map_entry, on_device
from .prepared_batch import Lookup
from .vocabulary_map import FLAG, read_vocabulary_map


class MappedCachedTeacher(CachedTeacher):
    """Soft targets over the teacher's vocabulary, at aligned positions; see `CachedTeacher`.

    Args:
        flags: --kd-vocabulary-map.
    Raises:
        ValueError: the map cannot be used, or not with this cache.
    """

    def __init__(
        self, folder: Path, use: CacheUse, prediction: Prediction, task: Task, flags: Any
    ) -> None:
        super().__init__(folder, use, prediction, task)
        named = f"{FLAG} {flags.kd_vocabulary_map}"
        self._vocabularies = read_vocabulary_map(Path(flags.kd_vocabulary_map))
        self._vocabularies.check_student(task, named)
        self._tokens = self._vocabularies.token_map()
        layout, limits = self.reader.plan.layout, self.reader.plan.teacher.get(LIMITS)
        size = len(self._vocabularies.teacher.target)
        problems = Problems()
        problems.unless(
            isinstance(limits, list) and layout.vocab == size,
            f"--kd-cache {folder}: expected a cache of {size:,} tokens, built with {FLAG}, got "
            f"one of {layout.vocab:,}{'' if limits else ', built without'}: {REBUILD}",
        )
        if layout.content == DRAWS:
            problems.extend([draws_problem(self._tokens, named)])
        problems.raise_if_any()
        if layout.content != TOP_K or use.tail != "ghost":  # its rest has what the teacher lacks
            check_divergence(self._tokens, use.divergence, named)
        alignment = self._vocabularies.alignment()
        self._aligner = BatchAligner(alignment, prediction.padding_idx, tuple(limits or ()))
        log_sizes(self._tokens)

    def look_up(self, sample: Sample, positions: LabelPositions, epoch: int) -> Lookup:
        """Return the records of the aligned positions, and their numbers as the last tensor."""
        rows = self._aligner.align(sample, positions).rows
        return self._look_up(sample, positions, epoch, rows)

    def _fingerprint(self, split: str) -> dict[str, Any]:
        return super()._fingerprint(split) | map_entry(self._vocabularies)

    def _output(self, tensors: tuple[Tensor, ...]) -> MappedOutput:
        *stored, rows = tensors
        self._tokens = on_device(self._tokens, rows.device)
        return MappedOutput(self._stored(tuple(stored)), rows, self._tokens)

    def _dummy(self, count: int, device: torch.device) -> tuple[Tensor, ...]:
        return *super()._dummy(count, device), torch.arange(count, device=device)
