"""The interface of teachers, and `build_teacher`, the only place that knows all kinds."""

from typing import Protocol

import torch
from torch import nn

from ..data_shards import data_of, folder_per_shard
from ..losses.dense import LossSettings
from ..losses.label_positions import LabelPositions
from ..losses.mapped import MappedOutput
from ..losses.position_selection import Teacher as TeacherOutput
from ..protocols import Prediction, Sample, Task
from .cache.tail import CacheUse
from .cached import CachedTeacher
from .cached_shards import CachedShards
from .mapped import MappedTeacher, check_divergence
from .mapped_cache import MappedCachedTeacher
from .online import OnlineTeacher, TeacherPrecision, load_models


class Teacher(Protocol):
    """A source of soft targets."""

    @property
    def model(self) -> nn.Module | None:
        """The (first) model, whose activations can be matched; None for a cache."""

    @property
    def names(self) -> tuple[str, ...]:
        """Flag and value of every model, or of the cache, for messages."""

    def prepare(self, student: nn.Module) -> None:
        """Raise ValueError, before the first update, if the teacher does not fit the student."""

    def begin_epoch(self, epoch: int, split: str) -> None:
        """Prepare for an epoch, counted from 1, of a split that the task has loaded.

        Raises:
            ValueError: there are no soft targets for this epoch or these data.
        """

    def soft_targets(
        self, student: nn.Module, sample: Sample, positions: LabelPositions
    ) -> TeacherOutput | MappedOutput:
        """Return the output at the N `positions`, on the student's device."""


class TeacherFlags(Protocol):
    """The flags that choose a teacher."""

    kd_teacher: str | None
    kd_teacher_data: str | None
    kd_cache: str | None
    kd_vocabulary_map: str | None
    kd_tail: str
    kd_temperature: float
    kd_teacher_dtype: str


TEACHER_DTYPES = ("auto", "float32", "bfloat16", "float16")  # auto: as the student


def build_teacher(
    flags: TeacherFlags,
    prediction: Prediction,
    task: Task,
    settings: LossSettings,
    keeps_activations: bool = False,
) -> Teacher:
    """Open the cache of `--kd-cache`, or load the model or models of `--kd-teacher`.

    Args:
        keeps_activations: true if losses compare hidden states or attentions.
    Raises:
        ValueError: there is no teacher, or it cannot be used.
    """
    if flags.kd_cache is None:
        name = str(flags.kd_teacher_dtype)
        dtype = None if name == TEACHER_DTYPES[0] else getattr(torch, name)
        precision = TeacherPrecision(dtype, keeps_activations)
        if flags.kd_vocabulary_map is not None:
            mapped = MappedTeacher(flags, prediction, task, precision)
            check_divergence(mapped.tokens, settings.divergence, mapped.named)
            return mapped
        models = load_models(flags.kd_teacher, flags.kd_teacher_data, prediction, task)
        return OnlineTeacher(models, prediction, task, precision)
    use = CacheUse(
        str(flags.kd_tail), float(flags.kd_temperature), settings.divergence, settings.selection
    )
    folders = folder_per_shard("--kd-cache", flags.kd_cache, data_of(task))
    caches: list[CachedTeacher]
    if flags.kd_vocabulary_map is None:
        caches = [CachedTeacher(folder, use, prediction, task) for folder in folders]
    else:
        parts = (use, prediction, task, flags)
        caches = [MappedCachedTeacher(folder, *parts) for folder in folders]
    return caches[0] if len(caches) == 1 else CachedShards(caches, task)
