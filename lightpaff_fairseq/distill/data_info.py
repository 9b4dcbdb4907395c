"""The data of a distillation: its splits, their sizes, and whether they are the teacher's."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq import tasks
from fairseq.tasks import FairseqTask

from ..checkpoints.building import writable
from ..checkpoints.dictionaries import check_trained_with
from ..problems import reason_of
from ..teachers.cache.fingerprint import sample_sizes
from .schedule import Amount
from .teacher_info import TeacherInfo

TRAIN, VALID, TEST = "train", "valid", "test"


@dataclass(frozen=True)
class DataInfo:
    """A folder of binarized data.

    Attributes:
        task: set up over the folder, with the splits loaded.
        amount: of the training split.
        sentences: number of samples per split.
    """

    folder: Path
    task: FairseqTask
    amount: Amount
    sentences: dict[str, int]


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
    return DataInfo(folder, task, amount, {s: len(task.dataset(s)) for s in splits})


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
