"""The dictionaries that a model was trained with, compared with those it is used with."""

import copy
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fairseq import tasks
from fairseq.data import Dictionary
from fairseq.tasks import FairseqTask
from omegaconf import OmegaConf

from ..data_shards import data_shards
from ..problems import reason_of
from .building import value_of, writable

ONE_DICTIONARY = (
    "distillation compares probabilities symbol by symbol: train both with one dict.txt"
)
ROLES = ("source", "target", "label")
logger = logging.getLogger(__name__)


def compare_dictionaries(named: str, teacher_cfg: Any, task: FairseqTask, data: str | None) -> None:
    """Refuse a teacher whose dictionaries are not the student's, symbol by symbol.

    Args:
        named: the flag and the teacher's checkpoint, for messages.
        teacher_cfg: the configuration of the teacher's task.
        task: of the student.
        data: folder with the teacher's dictionaries; None: where it was trained.
    Raises:
        ValueError: names the first difference; or there are no dictionaries in `data`.
    """
    teacher_task = _teacher_task(named, teacher_cfg, data)
    if teacher_task is None:
        logger.warning(
            f"{named}: the teacher's dictionary was not found where it was trained "
            f"({teacher_cfg.data}): only vocabulary sizes are compared. Name the folder with "
            "--kd-teacher-data to have every symbol checked"
        )
        return
    for role in ROLES:
        student, teacher = _dictionary(task, role), _dictionary(teacher_task, role)
        difference = first_difference(teacher, student) if student and teacher else None
        if difference:
            raise ValueError(f"{named}: {role} dictionaries differ: {difference}; {ONE_DICTIONARY}")


def check_trained_with(
    named: tuple[str, Path], trained_cfg: Any, task: FairseqTask, data: str
) -> None:
    """Refuse dictionaries that are not those a checkpoint was trained with, symbol by symbol.

    A checkpoint holds no dictionary: they are compared with those in the folder that it was trained
    on, or else beside it. Where neither is on this machine, a warning says so.

    Args:
        named: the checkpoint, as `("--path", Path("model.pt"))`.
        trained_cfg: the task of its configuration.
        task: set up with the dictionaries that are about to be used.
        data: flag and folder of these, as `--data bin`.
    Raises:
        ValueError: names the first difference.
    """
    flag, path = named
    cfg = OmegaConf.create(trained_cfg) if isinstance(trained_cfg, dict) else trained_cfg
    recorded = Path(str(value_of(cfg, "data")).split(":")[0])
    for folder in filter(Path.is_dir, (recorded, path.parent)):
        trained = set_up_in(cfg, folder)
        if trained is not None:
            break
    else:
        logger.warning(
            f"{flag} {path}: its dictionaries were not found where it was trained ({recorded}): "
            f"whether {data} has the same symbols in the same order is not checked"
        )
        return
    for role in ROLES:
        expected, given = _dictionary(trained, role), _dictionary(task, role)
        difference = None
        if expected and given:
            difference = first_difference(expected, given, ("training data", "data here"))
        if difference:
            raise ValueError(
                f"{data}: expected the {role} dictionary that {flag} {path} was trained with, the "
                f"one in {folder}, got another: {difference}"
            )


def set_up_in(task_cfg: Any, folder: Path) -> FairseqTask | None:
    """Set up the task of a configuration with the dictionaries of a folder; None: it has none."""
    section = copy.deepcopy(task_cfg)
    section = OmegaConf.create(section) if isinstance(section, dict) else section
    try:
        with writable(section):
            section.data = str(folder)
        return tasks.setup_task(section, from_checkpoint=True)
    except Exception:  # whatever a task of any kind raises
        return None


def _dictionary(task: FairseqTask, role: str) -> Dictionary | None:
    dictionary = getattr(task, f"{role}_dictionary", None)  # fairseq's tasks have some of them
    return dictionary if isinstance(dictionary, Dictionary) else None


def first_difference(
    first: Dictionary, second: Dictionary, names: tuple[str, str] = ("teacher's", "student's")
) -> str | None:
    """Describe the first symbol in which two dictionaries differ; return None if they are equal.

    Args:
        names: whose they are, for the text.
    """
    pairs = zip(first.symbols, second.symbols, strict=False)
    for index, (one, other) in enumerate(pairs):
        if one != other:
            return f"symbol {index} is {one!r} in the {names[0]} and {other!r} in the {names[1]}"
    if len(first) != len(second):
        index = min(len(first), len(second))
        longer, whose = (first, names[0]) if len(first) > index else (second, names[1])
        return (
            f"symbol {index} {longer.symbols[index]!r} exists only in the {whose} "
            f"({len(first)} symbols in the {names[0]}, {len(second)} in the {names[1]})"
        )
    return None


def dictionary_problems(data: str, flag: str = "DATA") -> Iterator[str]:
    """Yield a message for every dictionary of several folders that is not that of the first.

    fairseq reads those of the first folder alone, and would take the ids of another dictionary for
    its own symbols. A folder without dictionaries is fine.

    Args:
        data: the folders, joined by colons; flag: names them.
    """
    first, *others = map(Path, data_shards(data))
    for folder in others:
        for path in sorted(folder.glob("dict*.txt")):
            own = first / path.name
            if not own.is_file() or own.read_bytes() == path.read_bytes():
                continue
            try:
                pair = Dictionary.load(str(own)), Dictionary.load(str(path))
            except Exception as error:  # of several types, for a file that is none
                yield f"{flag} {path}: expected a dictionary of fairseq: {reason_of(error)}"
                continue
            difference = first_difference(*pair, ("first", "second"))
            if difference:
                yield f"{flag} {path}: expected the symbols of {own}, got others: {difference}"


def _teacher_task(named: str, teacher_cfg: Any, data: str | None) -> FairseqTask | None:
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
                f"--kd-teacher-data {data}: the dictionaries of {named} are not there: "
                f"{reason_of(error)}"
            ) from error
        return None
