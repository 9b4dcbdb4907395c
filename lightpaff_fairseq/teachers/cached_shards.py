"""Soft targets for a sharded corpus, DATA `data1:data2:...`: one cache per folder."""

from collections.abc import Iterator, Sequence

from torch import nn

from ..data_shards import data_of, data_shards
from ..losses.label_positions import LabelPositions
from ..losses.mapped import MappedOutput
from ..losses.position_selection import Teacher as TeacherOutput
from ..problems import Problems, reason_of
from ..protocols import Sample, Task
from ..shards import differences
from .cached import CachedTeacher
from .prepared_batch import Lookup


class CachedShards:
    """The caches of `--kd-cache cache1:cache2:...`, of which each epoch uses one, as of DATA.

    Args:
        caches: one per folder of DATA, in the same order; task: of the student.
    Raises:
        ValueError: the caches are of different teachers, or store different outputs.
    """

    model = None

    def __init__(self, caches: Sequence[CachedTeacher], task: Task) -> None:
        self._caches, self._task = caches, task
        self._current: CachedTeacher | None = None
        first, problems = caches[0], Problems()
        for cache in caches[1:]:
            plans = [x.reader.plan for x in (first, cache)]
            expected, content = ({**vars(plan.layout), **plan.teacher} for plan in plans)
            problems.extend(
                f"{cache.names[0]}: {text}"
                for text in differences(expected, content, f"in {first.reader.folder}")
            )
        problems.raise_if_any()

    @property
    def names(self) -> tuple[str, ...]:
        """The flag and every folder."""
        return tuple(name for cache in self._caches for name in cache.names)

    def prepare(self, student: nn.Module) -> None:
        """Do nothing: a cache fits any student."""

    def begin_epoch(self, epoch: int, split: str) -> None:
        """Choose the cache of the folder that this epoch reads; first compare all with their data.

        Raises:
            ValueError: lists every cache that was built with other data, or lacks this epoch.
        """
        number = (epoch - 1) % len(self._caches)
        if self._current is None:
            Problems(self._data_problems(number, split)).raise_if_any()
        self._caches[number].begin_epoch(epoch, split)
        self._current = self._caches[number]

    def look_up(self, sample: Sample, positions: LabelPositions, epoch: int) -> Lookup:
        """Look up a batch in the cache of an epoch; runs in the loader's workers, too."""
        return self._caches[(epoch - 1) % len(self._caches)].look_up(sample, positions, epoch)

    def soft_targets(
        self, student: nn.Module, sample: Sample, positions: LabelPositions
    ) -> TeacherOutput | MappedOutput:
        """Look up the output in the cache of this epoch; see `CachedTeacher`."""
        if self._current is None:
            self.begin_epoch(1, "train")
        assert self._current is not None
        return self._current.soft_targets(student, sample, positions)

    def _data_problems(self, loaded: int, split: str) -> Iterator[str]:
        """Load every folder of DATA but the one that is loaded, and compare it with its cache."""
        datasets = self._task.datasets
        kept = datasets[split]
        folders = data_shards(data_of(self._task))
        for number, (folder, cache) in enumerate(zip(folders, self._caches, strict=True)):
            try:
                if number != loaded:
                    self._task.load_dataset(split, epoch=number + 1, combine=True)
                if problem := cache.data_problem(split):
                    yield problem
            except (OSError, ValueError, AssertionError) as error:
                yield f"DATA {folder}: the split {split} cannot be read: {reason_of(error)}"
            finally:
                datasets[split] = kept
