"""The data of a distillation: its splits, their sizes, and whether they are the teacher's."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fairseq import tasks
from fairseq.tasks import FairseqTask

from ..checkpoints.building import value_of, writable
from ..checkpoints.dictionaries import check_trained_with, dictionary_problems
from ..data_shards import data_shards
from ..problems import Problems, reason_of
from ..teachers.cache.fingerprint import sample_sizes
from .schedule import CLASSIFICATION, Amount
from .teacher_info import TeacherInfo

TRAIN, VALID, TEST = "train", "valid", "test"
UNLIMITED = 2**31  # positions of a model whose configuration names no limit


@dataclass(frozen=True)
class DataInfo:
    """Binarized data, in one folder or several.

    Attributes:
        data: the folders, joined by colons; fairseq trains on one per epoch.
        task: set up over them, with the splits loaded but that of training.
        amount: of the training split, in all folders.
        sentences: number of samples per split.
        too_long: of them, those that exceed the model's positions; training skips them.
    """

    data: str
    task: FairseqTask
    amount: Amount
    sentences: dict[str, int]
    too_long: dict[str, int]

    @property
    def folders(self) -> list[str]:
        """The folders, in the order of their epochs."""
        return data_shards(self.data)

    @property
    def first(self) -> str:
        """The folder of the dictionaries and of all splits but that of training."""
        return self.folders[0]


def inspect_data(teacher: TeacherInfo, data: str, flag: str, splits: Sequence[str]) -> DataInfo:
    """Load the splits of the data with the teacher's task.

    Args:
        data: folders, joined by colons; flag: names them.
        splits: those that are needed; the first is that of training.
    Raises:
        ValueError: a folder holds no data of the task, other dictionaries than the teacher's, or
            lacks a split.
    """
    task = _set_up(teacher, data, f"{flag} {data}")
    train, *others = splits
    folders, too_long, loaded = data_shards(data), dict.fromkeys(splits, 0), []
    for epoch, folder in enumerate(folders, 1):
        dataset = _load(task, train, f"{flag} {folder}", epoch=epoch, combine=True)
        too_long[train] += _too_long(dataset, teacher)
        loaded.append(_amount(dataset))
    amount = Amount(
        sum(x.samples for x in loaded),
        sum(x.tokens for x in loaded),
        max(x.longest for x in loaded),
    )
    sentences = {train: amount.samples}
    for split in others:
        dataset = _load(task, split, f"{flag} {folders[0]}")
        sentences[split], too_long[split] = len(dataset), _too_long(dataset, teacher)
    if too_long.get(TEST):
        raise ValueError(
            f"{flag} {folders[0]}: {too_long[TEST]:,} samples of the split {TEST} are longer than "
            f"the teacher's {_positions(teacher)} positions; remove or split them"
        )
    return DataInfo(data, task, amount, sentences, too_long)


def _set_up(teacher: TeacherInfo, data: str, named: str) -> FairseqTask:
    """Set up the teacher's task over the data, whose dictionaries must be the teacher's."""
    if len(data_shards(data)) > 1 and teacher.task == CLASSIFICATION:
        raise ValueError(
            f"{named}: expected one folder: fairseq's task {CLASSIFICATION} reads no more"
        )
    section = copy.deepcopy(teacher.task_section)
    with writable(section):
        section.data = data
    try:
        task: FairseqTask = tasks.setup_task(section)
    except Exception as error:  # whatever a task of any kind raises
        raise ValueError(
            f"{named}: expected binarized data of the teacher's task {teacher.task}: "
            f"{reason_of(error)}"
        ) from error
    check_trained_with(("--teacher", teacher.path), teacher.task_section, task, named)
    if len(target_dictionary(task)) != teacher.vocabulary:
        raise ValueError(
            f"{named}: expected the dictionary of --teacher {teacher.path} "
            f"({teacher.vocabulary} symbols), got one of {len(target_dictionary(task))}"
        )
    Problems(dictionary_problems(data, named.split()[0])).raise_if_any()
    return task


def _amount(dataset: Any) -> Amount:
    sizes = sample_sizes(dataset)
    columns = sizes.reshape(len(sizes), -1)
    return Amount(len(columns), int(columns[:, -1].sum()), int(columns.max()))


def _positions(teacher: TeacherInfo) -> tuple[int, int] | int:
    """Return the longest input of an encoder, or of encoder and decoder, in tokens."""
    if len(teacher.sides) == 1:
        return int(value_of(teacher.model, "max_positions") or UNLIMITED)
    source, target = (
        int(value_of(teacher.model, f"max_{side}_positions") or UNLIMITED)
        for side in ("source", "target")
    )
    return source, target


def _too_long(dataset: Any, teacher: TeacherInfo) -> int:
    """Count the samples that exceed the model's positions; those of a language model are cut."""
    if teacher.sides == ("decoder",):
        return 0
    indices = dataset.ordered_indices()
    return len(dataset.filter_indices_by_size(indices, _positions(teacher))[1])


def target_dictionary(task: Any) -> Any:
    """Return the dictionary of what a task predicts; of a classifier, that of its input."""
    return getattr(task, "target_dictionary", None) or task.source_dictionary


def _load(task: FairseqTask, split: str, named: str, **part: Any) -> Any:
    """Load a split; `part`: more arguments of `load_dataset`."""
    try:
        task.load_dataset(split, **part)
        dataset = task.dataset(split)
        empty = len(dataset) == 0
    except Exception as error:  # whatever a dataset of any kind raises
        raise ValueError(f"{named}: the split {split} is missing: {reason_of(error)}") from error
    if empty:
        raise ValueError(f"{named}: the split {split} is empty")
    return dataset


def reference_texts(data: DataInfo, remove_bpe: str) -> tuple[list[str], int]:
    """Return the binarized targets of the test split as text, and how many hold an <unk>."""
    dictionary = data.task.target_dictionary
    dataset = data.task.dataset(TEST)
    targets = [dataset[i]["target"] for i in range(len(dataset))]
    kind = None if remove_bpe == "none" else remove_bpe
    texts = [
        dictionary.string(x, kind, extra_symbols_to_ignore={dictionary.eos()}) for x in targets
    ]
    return texts, sum(bool((x == dictionary.unk()).any()) for x in targets)
