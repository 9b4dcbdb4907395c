"""The dictionaries that a teacher was trained with, compared with the student's."""

import logging
from pathlib import Path
from typing import Any

from fairseq import tasks
from fairseq.data import Dictionary
from fairseq.tasks import FairseqTask

from .building import writable

ONE_DICTIONARY = (
    "distillation compares probabilities symbol by symbol: train both with one dict.txt"
)
logger = logging.getLogger(__name__)


def compare_dictionaries(path: str, teacher_cfg: Any, task: FairseqTask, data: str | None) -> None:
    """Refuse a teacher whose dictionaries are not the student's, symbol by symbol.

    Args:
        path: the teacher's checkpoint; teacher_cfg: the configuration of its task.
        task: of the student.
        data: folder with the teacher's dictionaries; None: where it was trained.
    Raises:
        ValueError: names the first difference; or there are no dictionaries in `data`.
    """
    teacher_task = _teacher_task(path, teacher_cfg, data)
    if teacher_task is None:
        logger.warning(
            f"--kd-teacher {path}: the teacher's dictionary was not found where it was trained "
            f"({teacher_cfg.data}): only vocabulary sizes are compared. Name the folder with "
            "--kd-teacher-data to have every symbol checked"
        )
        return
    for role in ("source", "target", "label"):
        student, teacher = _dictionary(task, role), _dictionary(teacher_task, role)
        difference = first_difference(teacher, student) if student and teacher else None
        if difference:
            raise ValueError(
                f"--kd-teacher {path}: {role} dictionaries differ: {difference}; {ONE_DICTIONARY}"
            )


def _dictionary(task: FairseqTask, role: str) -> Dictionary | None:
    dictionary = getattr(task, f"{role}_dictionary", None)  # fairseq's tasks have some of them
    return dictionary if isinstance(dictionary, Dictionary) else None


def first_difference(teacher: Dictionary, student: Dictionary) -> str | None:
    """Describe the first symbol in which two dictionaries differ; return None if they are equal."""
    pairs = zip(student.symbols, teacher.symbols, strict=False)
    for index, (symbol_s, symbol_t) in enumerate(pairs):
        if symbol_s != symbol_t:
            return (
                f"symbol {index} is {symbol_t!r} in the teacher's and {symbol_s!r} in the student's"
            )
    if len(student) != len(teacher):
        index = min(len(student), len(teacher))
        longer, whose = (student, "student") if len(student) > index else (teacher, "teacher")
        return (
            f"symbol {index} {longer.symbols[index]!r} exists only in the {whose}'s "
            f"(teacher {len(teacher)}, student {len(student)} symbols)"
        )
    return None


def _teacher_task(path: str, teacher_cfg: Any, data: str | None) -> FairseqTask | None:
    """Set up the teacher's own task, for its dictionaries; None: they are not on this machine."""
    if data is not None and not Path(data).is_dir():
        raise ValueError(f"--kd-teacher-data {data}: no such folder")
    folder = data or str(getattr(teacher_cfg, "data", None))  # no `data`: a task without files
    if data is None and not all(Path(part).is_dir() for part in folder.split(":")):
        return None
    with writable(teacher_cfg):
        teacher_cfg.data = folder
    try:
        return tasks.setup_task(teacher_cfg, from_checkpoint=True)
    except Exception as error:  # whatever a task of any kind raises
        if data is not None:
            raise ValueError(
                f"--kd-teacher-data {data}: the dictionaries of {path} are not there: {error}"
            ) from error
        return None
