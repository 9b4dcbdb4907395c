"""A teacher with another vocabulary, which reads the text of the student's batches."""

import copy
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoints.dictionaries import check_trained_with
from ..checkpoints.reading import read_checkpoint
from ..losses.divergences import Divergence
from ..losses.label_positions import LabelPositions
from ..losses.mapped import MappedOutput, TokenMap
from ..losses.model_output import ModelOutput
from ..protocols import Prediction, Sample, Task
from .aligned_batch import AlignedBatch, BatchAligner
from .loading import TEACHER
from .online import LIKE_STUDENT, OnlineTeacher, TeacherPrecision, load_models
from .prepared_batch import prepared_of
from .vocabulary_map import FLAG, VocabularyMap, read_vocabulary_map

MAP, LIMITS = "vocabulary map", "longest texts of the teacher"  # entries of a cache's plan
logger = logging.getLogger(__name__)


class MappedTeacher:
    """One frozen model with its own dictionaries; see `base.Teacher`.

    Args:
        flags: --kd-vocabulary-map, --kd-teacher and --kd-teacher-data.
        flag: the flag that names the checkpoint, for messages.
    Raises:
        ValueError: the map or the teacher cannot be used, or one is not made for the other.
    """

    def __init__(
        self,
        flags: Any,
        prediction: Prediction,
        task: Task,
        precision: TeacherPrecision = LIKE_STUDENT,
        flag: str = TEACHER,
    ) -> None:
        self.named = f"{FLAG} {flags.kd_vocabulary_map}"
        self.vocabularies = read_vocabulary_map(Path(flags.kd_vocabulary_map))
        self.vocabularies.check_student(task, self.named)
        self.tokens = self.vocabularies.token_map()
        teacher_task = task_of(task, self.vocabularies)
        cfg = read_checkpoint(Path(flags.kd_teacher), flag)["cfg"]
        named = (flag, Path(flags.kd_teacher))
        check_trained_with(named, cfg.task, teacher_task, self.named)
        data = flags.kd_teacher_data
        models = load_models(flags.kd_teacher, data, prediction, teacher_task, flag)
        self._online = OnlineTeacher(models, prediction, teacher_task, precision)
        self.models = self._online.models
        limits: Any = self.model.max_positions()  # type: ignore[operator]
        self.limits = (limits,) if isinstance(limits, int | float) else tuple(limits)
        self.aligner = BatchAligner(
            self.vocabularies.alignment(), prediction.padding_idx, self.limits
        )
        log_sizes(self.tokens)

    @property
    def sample_limits(self) -> list[Any]:
        """None: samples may have any length, see `BatchAligner.limits`."""
        return []

    @property
    def entries(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a cache says about its data and its teacher, besides what every cache does."""
        return map_entry(self.vocabularies), {LIMITS: list(self.limits)}

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self._online.model

    @property
    def names(self) -> tuple[str, ...]:
        """The flag and the checkpoint."""
        return self._online.names

    def prepare(self, student: nn.Module) -> None:
        """Do nothing: text that is too long for the teacher has no soft targets."""

    def begin_epoch(self, epoch: int, split: str) -> None:
        """Do nothing: online teachers need no preparation."""

    def look_up(self, sample: Sample, positions: LabelPositions, epoch: int) -> AlignedBatch:
        """Return the batch in the teacher's tokens; runs in the loader's workers, too."""
        return self.aligner.align(sample, positions)

    def soft_targets(
        self, student: nn.Module, sample: Sample, positions: LabelPositions
    ) -> MappedOutput:
        """Return the output at the positions that have the text of one of the teacher's.

        A batch that the loader's workers have not prepared is read here, which waits for a GPU.
        """
        output, rows = self._run(student, sample, positions)
        self.tokens = on_device(self.tokens, rows.device)
        return MappedOutput(output, rows, self.tokens)

    def _run(
        self, student: nn.Module, sample: Sample, positions: LabelPositions
    ) -> tuple[ModelOutput, Tensor]:
        """Return the output at aligned positions, and their numbers `(M,)` among the N."""
        prepared, device = prepared_of(sample), sample["target"].device
        batch = None if prepared is None else prepared.lookup
        if not isinstance(batch, AlignedBatch):
            batch = self.look_up(sample, positions, 1).each(lambda x: x.to(device))
        teacher_sample: Any = {"net_input": batch.net_input}
        return self._online.soft_targets(student, teacher_sample, batch.at), batch.rows

    def count(self, sample: Sample, positions: LabelPositions) -> int:
        """Return the number of positions of a batch, on the CPU, at which there is an output."""
        return len(self.aligner.align(sample, positions).rows)

    def outputs(self, sample: Sample, positions: LabelPositions) -> tuple[list[int], ModelOutput]:
        """Return the number of outputs per sample, and the outputs, for a cache."""
        output, rows = self._run(self.model, sample, positions)
        return positions.counts(rows), output


def map_entry(vocabularies: VocabularyMap) -> dict[str, Any]:
    """Return what the data of a cache say about its map."""
    return {MAP: vocabularies.checksum[:16]}


def on_device(tokens: TokenMap, device: torch.device) -> TokenMap:
    """Return a map on a device, where it stays."""
    return tokens if tokens.teacher.device == device else tokens.to(device)


def log_sizes(tokens: TokenMap) -> None:
    """Log how many tokens have a counterpart."""
    mapped = len({*tokens.teacher.tolist()})
    logger.info(
        f"vocabularies: {mapped:,} tokens of the teacher have {len(tokens.student):,} "
        f"counterparts, {len(tokens.teacher_rest):,} have none; tokens only of the student: "
        f"{len(tokens.student_rest):,}"
    )


def draws_problem(tokens: TokenMap, named: str) -> str | None:
    """Return why draws of the teacher are not draws of the student's tokens, or None."""
    count = len(tokens.teacher_rest)
    if not count:
        return None
    return (
        f"{named}: draws need a counterpart for every token of the teacher, {count:,} have none; "
        "use a cache of --topk tokens"
    )


def check_divergence(tokens: TokenMap, divergence: Divergence, named: str) -> None:
    """Refuse a divergence that is infinite where the teacher cannot say what the student says.

    Args:
        named: flag and value of the map.
    Raises:
        ValueError: it is, and the teacher has no tokens of its own as a counterpart.
    """
    if divergence.finite_at_zero or len(tokens.teacher_rest) or not len(tokens.student_rest):
        return
    raise ValueError(
        f"{named}: reverse KL punishes without limit tokens that the teacher lacks (the student "
        f"has {len(tokens.student_rest):,}): use "
        "--kd-divergence skew_reverse_kl, forward_kl, jsd with a --kd-beta below 1, or tvd"
    )


def task_of(task: Task, vocabularies: VocabularyMap) -> Any:
    """Return the student's task with the teacher's dictionaries."""
    other: Any = copy.copy(task)
    target = vocabularies.teacher.dictionary("target")
    if vocabularies.teacher.source:
        other.src_dict, other.tgt_dict = vocabularies.teacher.dictionary("source"), target
    else:
        other.dictionary = other.output_dictionary = target
    return other
