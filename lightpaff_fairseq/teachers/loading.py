"""A frozen teacher model from a fairseq checkpoint, checked before any training is done."""

import logging
from pathlib import Path
from typing import Any

from fairseq import tasks, utils
from fairseq.data import Dictionary
from fairseq.models import BaseFairseqModel
from fairseq.tasks import FairseqTask
from torch import nn

from ..checkpoints.building import build, heads_in, writable
from ..checkpoints.reading import read_checkpoint
from ..checkpoints.state_dict import first_mismatch

logger = logging.getLogger(__name__)

HINT = "distillation compares probabilities symbol by symbol: train both with one dict.txt"


def load_teacher(path: str, task: FairseqTask, data: str | None = None) -> nn.Module:
    """Build the model of a checkpoint and freeze it.

    The model is built by `fairseq.models`, not by the task: a task's `build_model` may keep the
    model for itself (with `--eval-bleu` the student's validation would decode with the teacher).

    Args:
        path: a fairseq checkpoint (`--kd-teacher`).
        task: the student's task; its dictionaries must be the teacher's.
        data: folder with the teacher's dictionaries (`--kd-teacher-data`); None: where the
            checkpoint says it was trained.
    Returns:
        the model on the CPU, in eval mode, no parameter of which requires a gradient.
    Raises:
        ValueError: no such file, not a fairseq checkpoint, another vocabulary, or weights that do
            not fit the model the checkpoint describes.
    """
    flag = f"--kd-teacher {path}"
    state = read_checkpoint(Path(path), "--kd-teacher")
    cfg, tensors = state["cfg"], state["model"]
    _compare_dictionaries(path, cfg.task, task, data)
    model: nn.Module = build(cfg.model, task, heads_in(tensors), flag)
    mismatch = first_mismatch(tensors, model)
    if mismatch and "embed_tokens" in mismatch:
        raise ValueError(f"{flag}: another vocabulary: {mismatch}; {HINT}")
    try:
        model.load_state_dict(tensors, strict=True, model_cfg=cfg.model)  # type: ignore[call-arg]
    except RuntimeError as error:
        raise ValueError(
            f"{flag}: the weights do not fit the model that the checkpoint describes: "
            f"{mismatch or error}"
        ) from error
    return model.requires_grad_(False)


def check_lengths(
    path: str, teacher: BaseFairseqModel, student: BaseFairseqModel, task: FairseqTask
) -> None:
    """Refuse a teacher that takes shorter samples than the student may be given.

    Raises:
        ValueError: with both limits, in tokens (source and target where there are two).
    """
    limit = utils.resolve_max_positions(task.max_positions(), student.max_positions())
    limit_t = teacher.max_positions()
    if isinstance(limit, int | float) and isinstance(limit_t, tuple | list):
        limit_t = min(limit_t)  # an encoder-decoder that reads one text in both modules (BART)
    if utils.resolve_max_positions(limit_t, limit) != limit:
        raise ValueError(
            f"--kd-teacher {path}: the teacher takes at most {teacher.max_positions()} positions, "
            f"but samples may have {limit}: lower --tokens-per-sample, or --max-source-positions "
            "and --max-target-positions (--max-positions for sentence_prediction)"
        )


def _compare_dictionaries(path: str, teacher_cfg: Any, task: FairseqTask, data: str | None) -> None:
    """Refuse a teacher whose dictionaries are not the student's, symbol by symbol."""
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
                f"--kd-teacher {path}: {role} dictionaries differ: {difference}; {HINT}"
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
