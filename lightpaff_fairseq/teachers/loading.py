"""A frozen teacher model from a fairseq checkpoint, checked before any training is done."""

import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from fairseq import models, tasks, utils
from fairseq.data import Dictionary
from fairseq.models import BaseFairseqModel
from fairseq.tasks import FairseqTask
from omegaconf import OmegaConf, open_dict
from torch import nn

from ..checkpoints.reading import read_checkpoint
from ..checkpoints.state_dict import first_mismatch

logger = logging.getLogger(__name__)

HINT = "distillation compares probabilities symbol by symbol: train both with one dict.txt"


def load_teacher(path: str, task: FairseqTask, data: str | None = None) -> nn.Module:
    """Builds the model of a checkpoint and freezes it.

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
    state = read_checkpoint(Path(path), "--kd-teacher")
    cfg = state["cfg"]
    _compare_dictionaries(path, cfg.task, task, data)
    if any(name.startswith("classification_heads.") for name in state["model"]):
        _keep_classification_heads(cfg.model)
    model = _build(path, cfg.model, task)
    mismatch = first_mismatch(state["model"], model)
    if mismatch and "embed_tokens" in mismatch:
        raise ValueError(f"--kd-teacher {path}: another vocabulary: {mismatch}; {HINT}")
    try:
        model.load_state_dict(state["model"], strict=True, model_cfg=cfg.model)
    except RuntimeError as error:
        raise ValueError(
            f"--kd-teacher {path}: the weights do not fit the model that the checkpoint "
            f"describes: {mismatch or error}"
        ) from error
    model.requires_grad_(False)
    frozen: nn.Module = model.eval()
    return frozen


def _build(path: str, model_cfg: Any, task: FairseqTask) -> BaseFairseqModel:
    """The model that a checkpoint describes, with fresh weights."""
    name = getattr(model_cfg, "_name", None) or getattr(model_cfg, "arch", None)
    try:
        return models.build_model(model_cfg, task)
    except Exception as error:  # whatever a model of any kind raises
        raise ValueError(
            f"--kd-teacher {path}: its model {name!r} cannot be built here: {error!r}"
        ) from error


def _keep_classification_heads(model_cfg: Any) -> None:
    """RoBERTa and BART drop classification heads while loading unless they are told not to."""
    with _writable(model_cfg):
        model_cfg.load_checkpoint_heads = True


def _writable(cfg: Any) -> AbstractContextManager[Any]:
    """A configuration, or the Namespace of a task or model without a dataclass, may be changed."""
    context: AbstractContextManager[Any] = (
        open_dict(cfg) if OmegaConf.is_config(cfg) else nullcontext()
    )
    return context


def check_lengths(path: str, teacher: Any, student: Any, task: FairseqTask) -> None:
    """Refuses a teacher that takes shorter samples than the student may be given.

    Raises:
        ValueError: with both limits, in tokens (source and target where there are two).
    """
    limit = utils.resolve_max_positions(task.max_positions(), student.max_positions())
    theirs = teacher.max_positions()
    if isinstance(limit, int | float) and isinstance(theirs, tuple | list):
        theirs = min(theirs)  # an encoder-decoder that reads one text on both sides (BART)
    if utils.resolve_max_positions(theirs, limit) != limit:
        raise ValueError(
            f"--kd-teacher {path}: the teacher takes at most {teacher.max_positions()} positions, "
            f"but samples may have {limit}: lower --tokens-per-sample, or --max-source-positions "
            "and --max-target-positions (--max-positions for sentence_prediction)"
        )


def _compare_dictionaries(path: str, teacher_cfg: Any, task: FairseqTask, data: str | None) -> None:
    """Refuses a teacher whose dictionaries are not the student's, symbol by symbol."""
    theirs = _teacher_task(path, teacher_cfg, data)
    if theirs is None:
        logger.warning(
            f"--kd-teacher {path}: the teacher's dictionary was not found where it was trained "
            f"({teacher_cfg.data}): only vocabulary sizes are compared. Name the folder with "
            "--kd-teacher-data to have every symbol checked"
        )
        return
    for side in ("source", "target", "label"):
        student, teacher = _dictionary(task, side), _dictionary(theirs, side)
        difference = first_difference(teacher, student) if student and teacher else None
        if difference:
            raise ValueError(
                f"--kd-teacher {path}: {side} dictionaries differ: {difference}; {HINT}"
            )


def _dictionary(task: FairseqTask, side: str) -> Dictionary | None:
    dictionary = getattr(task, f"{side}_dictionary", None)
    return dictionary if isinstance(dictionary, Dictionary) else None


def first_difference(teacher: Dictionary, student: Dictionary) -> str | None:
    """The first symbol in which two dictionaries differ, in words; None when they are equal."""
    for index, (ours, theirs) in enumerate(zip(student.symbols, teacher.symbols, strict=False)):
        if ours != theirs:
            return f"symbol {index} is {theirs!r} in the teacher's and {ours!r} in the student's"
    if len(student) != len(teacher):
        index = min(len(student), len(teacher))
        longer, whose = (student, "student") if len(student) > index else (teacher, "teacher")
        return (
            f"symbol {index} {longer.symbols[index]!r} exists only in the {whose}'s "
            f"(teacher {len(teacher)}, student {len(student)} symbols)"
        )
    return None


def _teacher_task(path: str, teacher_cfg: Any, data: str | None) -> FairseqTask | None:
    """The teacher's own task, for its dictionaries; None where they are not on this machine."""
    if data is not None and not Path(data).is_dir():
        raise ValueError(f"--kd-teacher-data {data}: no such folder")
    folder = data or str(getattr(teacher_cfg, "data", None))
    if data is None and not all(Path(part).is_dir() for part in folder.split(":")):
        return None
    with _writable(teacher_cfg):
        teacher_cfg.data = folder
    try:
        return tasks.setup_task(teacher_cfg, from_checkpoint=True)
    except Exception as error:  # whatever a task of any kind raises
        if data is not None:
            raise ValueError(
                f"--kd-teacher-data {data}: the dictionaries of {path} are not there: {error}"
            ) from error
        return None
