"""Load a frozen teacher model from a fairseq checkpoint, and check it."""

from pathlib import Path

from fairseq import utils
from fairseq.models import BaseFairseqModel
from fairseq.tasks import FairseqTask
from torch import nn

from ..checkpoints.building import build, heads_in
from ..checkpoints.dictionaries import ONE_DICTIONARY, compare_dictionaries
from ..checkpoints.reading import read_checkpoint
from ..checkpoints.state_dict import first_mismatch, loading_problem

TEACHER = "--kd-teacher"  # the flag of a training


def load_teacher(
    path: str, task: FairseqTask, data: str | None = None, flag: str = TEACHER
) -> nn.Module:
    """Build the model of a checkpoint and freeze it.

    The model is built by `fairseq.models`, not by the task, whose `build_model` may keep a
    reference (with `--eval-bleu` the student's validation would decode with the teacher).

    Args:
        path: a fairseq checkpoint.
        task: the student's task; its dictionaries must equal the teacher's.
        data: folder of the teacher's dictionaries (`--kd-teacher-data`); None: the data of its
            training run, as recorded in the checkpoint.
        flag: the flag that named the checkpoint, for messages.
    Returns:
        the model on the CPU, in eval mode, without gradients.
    Raises:
        ValueError: no such file, not a fairseq checkpoint, another vocabulary, or weights that do
            not fit the model configuration.
    """
    named = f"{flag} {path}"
    state = read_checkpoint(Path(path), flag)
    cfg, tensors = state["cfg"], state["model"]
    compare_dictionaries(named, cfg.task, task, data)
    model: nn.Module = build(cfg.model, task, heads_in(tensors), named)
    mismatch = first_mismatch(tensors, model)
    if mismatch and "embed_tokens" in mismatch:
        raise ValueError(f"{named}: another vocabulary: {mismatch}; {ONE_DICTIONARY}")
    try:
        model.load_state_dict(tensors, strict=True, model_cfg=cfg.model)  # type: ignore[call-arg]
    except RuntimeError as error:
        raise ValueError(
            f"{named}: the weights do not fit the model configuration of the checkpoint: "
            f"{loading_problem(error)}"
        ) from error
    return model.requires_grad_(False)


def check_lengths(
    path: str, teacher: BaseFairseqModel, student: BaseFairseqModel, task: FairseqTask
) -> None:
    """Raise ValueError if the teacher's length limit is below that of the student's samples."""
    limit = utils.resolve_max_positions(task.max_positions(), student.max_positions())
    limit_t = teacher.max_positions()
    if isinstance(limit, int | float) and isinstance(limit_t, tuple | list):
        limit_t = min(limit_t)  # BART as a classifier: encoder and decoder read the same text
    if utils.resolve_max_positions(limit_t, limit) != limit:
        raise ValueError(
            f"{TEACHER} {path}: the teacher takes at most {teacher.max_positions()} positions, "
            f"but samples may have {limit}: lower --tokens-per-sample, or --max-source-positions "
            "and --max-target-positions (--max-positions for sentence_prediction)"
        )
