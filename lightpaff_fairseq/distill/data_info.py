"""The data of a distillation: its splits, their sizes, and whether they are the teacher's."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq import tasks
from fairseq.tasks import FairseqTask

from ..checkpoints.building import value_of, writable
from ..checkpoints.dictionaries import check_trained_with
from ..problems import reason_of
from ..teachers.cache.fingerprint import sample_sizes
from .schedule import Amount
from .teacher_info import TeacherInfo

TRAIN, VALID, TEST = "train", "valid", "test"
UNLIMITED = 2**31  # positions of a model whose configuration names no limit


@dataclass(frozen=True)
class DataInfo:
    """A folder of binarized data.

    Attributes:
        task: set up over the folder, with the splits loaded.
        amount: of the training split.
        sentences: number of samples per split.
        too_long: of them, those that exceed the model's positions; training skips them.
    """

    folder: Path
    task: FairseqTask
    amount: Amount
    sentences: dict[str, int]
    too_long: dict[str, int]


def inspect_data(teacher: TeacherInfo, folder: Path, flag: str, splits: Sequence[str]) -> DataInfo:
    """Load the splits of a folder with the teacher's task.

    Args:
        flag: names the folder.
        splits: those that are needed; the first is that of training.
    Raises:
        ValueError: the folder holds no data of the task, other dictionaries than the teacher's, or
            lacks a split.
    """
    section = copy.deepcopy(teacher.task_section)
    with writable(section):
        section.data = str(folder)
    try:
        task = tasks.setup_task(section)
    except Exception as error:  # whatever a task of any kind raises
        raise ValueError(
            f"{flag} {folder}: expected binarized data of the teacher's task {teacher.task}: "
            f"{reason_of(error)}"
        ) from error
    named = "--teacher", teacher.path
    check_trained_with(named, teacher.task_section, task, f"{flag} {folder}")
    if len(target_dictionary(task)) != teacher.vocabulary:
        raise ValueError(
            f"{flag} {folder}: expected the dictionary of --teacher {teacher.path} "
            f"({teacher.vocabulary} symbols), got one of {len(target_dictionary(task))}"
        )
    for split in splits:
        _load(task, split, f"{flag} {folder}")
    sizes = sample_sizes(task.dataset(splits[0]))
    columns = sizes.reshape(len(sizes), -1)
    amount = Amount(len(columns), int(columns[:, -1].sum()), int(columns.max()))
    too_long = {split: _too_long(task.dataset(split), teacher) for split in splits}
    if too_long.get(TEST):
        raise ValueError(
            f"{flag} {folder}: {too_long[TEST]:,} samples of the split {TEST} are longer than the "
            f"teacher's {_positions(teacher)} positions; remove or split them"
        )
    return DataInfo(folder, task, amount, {s: len(task.dataset(s)) for s in splits}, too_long)


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


def _load(task: FairseqTask, split: str, named: str) -> None:
    try:
        task.load_dataset(split)
        empty = len(task.dataset(split)) == 0
    except Exception as error:  # whatever a dataset of any kind raises
        raise ValueError(f"{named}: the split {split} is missing: {reason_of(error)}") from error
    if empty:
        raise ValueError(f"{named}: the split {split} is empty")


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
