"""A teacher with another vocabulary, which reads the text of the student's batches."""

import copy
import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch
from fairseq.data.data_utils import collate_tokens
from torch import Tensor, nn

from ..checkpoints.dictionaries import check_trained_with
from ..checkpoints.reading import read_checkpoint
from ..losses.divergences import Divergence
from ..losses.label_positions import LabelPositions
from ..losses.mapped import MappedOutput
from ..protocols import Prediction, Sample, Task
from .loading import TEACHER
from .online import OnlineTeacher, TeacherPrecision, load_models
from .text_alignment import TextAlignment
from .vocabulary_map import FLAG, VocabularyMap, read_vocabulary_map

logger = logging.getLogger(__name__)


class BatchRow(NamedTuple):
    """A row of the teacher's batch.

    Attributes:
        number: of the row in the student's batch; tokens, pairs: as in `AlignedRow`.
    """

    number: int
    tokens: list[int]
    pairs: list[tuple[int, int]]

    def shortened(self, limit: int) -> "BatchRow":
        """Return the first `limit` tokens, at least 1; at limit 0 without pairs."""
        pairs = [(i, j) for i, j in self.pairs if j < limit]
        return BatchRow(self.number, self.tokens[: max(limit, 1)], pairs)


class MappedTeacher:
    """One frozen model with its own dictionaries; see `base.Teacher`.

    Raises:
        ValueError: the map or the teacher cannot be used, or one is not made for the other.
    """

    def __init__(
        self,
        flags: Any,
        prediction: Prediction,
        task: Task,
        divergence: Divergence,
        precision: TeacherPrecision,
    ) -> None:
        self._named = f"{FLAG} {flags.kd_vocabulary_map}"
        vocabularies = read_vocabulary_map(Path(flags.kd_vocabulary_map))
        vocabularies.check_student(task, self._named)
        self.pairs = vocabularies.pairs()
        rests = len(self.pairs.teacher_rest), len(self.pairs.student_rest)
        if not divergence.finite_at_zero and rests[1] and not rests[0]:
            raise ValueError(
                f"{self._named}: reverse KL punishes without limit the student's "
                f"{rests[1]:,} tokens that the teacher lacks: use "
                "--kd-divergence skew_reverse_kl, forward_kl, jsd with a --kd-beta below 1, or tvd"
            )
        self._alignment, self._prediction = TextAlignment(vocabularies), prediction
        teacher_task = task_of(task, vocabularies)
        cfg = read_checkpoint(Path(flags.kd_teacher), TEACHER)["cfg"]
        named = (TEACHER, Path(flags.kd_teacher))
        check_trained_with(named, cfg.task, teacher_task, self._named)
        models = load_models(flags.kd_teacher, flags.kd_teacher_data, prediction, teacher_task)
        self._online = OnlineTeacher(models, prediction, teacher_task, precision)
        logger.info(
            f"vocabularies: {len(self.pairs.teacher):,} tokens of both, "
            f"{rests[0]:,} only of the teacher, {rests[1]:,} only of the student"
        )

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

    def soft_targets(
        self, student: nn.Module, sample: Sample, positions: LabelPositions
    ) -> MappedOutput:
        """Return the output at the positions that have the text of one of the teacher's.

        The batch's tokens are read on the CPU, which waits for a GPU.
        """
        device = sample["target"].device
        if self.pairs.teacher.device != device:
            self.pairs = self.pairs.to(device)
        rows, net_input = self._batch(sample)
        of_student = {number: n for n, number in enumerate(positions.numbers.tolist())}
        read = net_input.get("prev_output_tokens", net_input["src_tokens"])
        length, width = read.size(1), sample["target"].size(1)
        aligned = sorted(
            (place * length + j, of_student[row.number * width + i])
            for place, row in enumerate(rows)
            for i, j in row.pairs
            if row.number * width + i in of_student
        )
        numbers, chosen = torch.tensor(aligned, dtype=torch.int64).view(-1, 2).to(device).unbind(1)
        mask = numbers.new_zeros(len(rows) * length, dtype=torch.bool).index_fill_(0, numbers, True)
        teacher_sample: Any = {"net_input": {k: x.to(device) for k, x in net_input.items()}}
        at = LabelPositions(mask.view(len(rows), length), numbers)
        output = self._online.soft_targets(student, teacher_sample, at)
        return MappedOutput(output, chosen, self.pairs)

    def _batch(self, sample: Sample) -> tuple[list[BatchRow], dict[str, Tensor]]:
        """Return the rows of the teacher's batch and its input, on the CPU."""
        inputs, pad = sample["net_input"], self._prediction.padding_idx
        previous, source = inputs.get("prev_output_tokens"), inputs["src_tokens"]
        tokens = (source if previous is None else previous).tolist()
        rows = [
            self._row(number, tokens[number], labels)
            for number, labels in enumerate(sample["target"].tolist())
        ]
        limits: Any = self.model.max_positions()  # type: ignore[operator]
        if previous is None:
            rows = [row.shortened(limits) for row in rows]
            values = [row.tokens for row in rows]
            return rows, {"src_tokens": padded(values, pad), "src_lengths": lengths(values)}
        words = [self._alignment.source([x for x in row if x != pad]) for row in source.tolist()]
        for row, read in enumerate(words):
            too_long = len(read) > limits[0]
            rows[row] = rows[row].shortened(0 if too_long else limits[1])
            words[row] = read[-1:] if too_long else read
        rows.sort(key=lambda row: -len(words[row.number]))  # as LSTMs need them
        words.sort(key=lambda read: -len(read))
        return rows, {
            "src_tokens": padded(words, pad, left=True),
            "src_lengths": lengths(words),
            "prev_output_tokens": padded([row.tokens for row in rows], pad),
        }

    def _row(self, number: int, read: list[int], labels: list[int]) -> BatchRow:
        """Align one row; the student's positions count its padding."""
        at = [t for t, token in enumerate(read) if token != self._prediction.padding_idx]
        row = self._alignment.target([*(read[t] for t in at), labels[at[-1]]])
        return BatchRow(number, row.tokens, [(at[i], j) for i, j in row.pairs])


def task_of(task: Task, vocabularies: VocabularyMap) -> Any:
    """Return the student's task with the teacher's dictionaries."""
    other: Any = copy.copy(task)
    target = vocabularies.teacher.dictionary("target")
    if vocabularies.teacher.source:
        other.src_dict, other.tgt_dict = vocabularies.teacher.dictionary("source"), target
    else:
        other.dictionary = other.output_dictionary = target
    return other


def padded(rows: list[list[int]], pad: int, left: bool = False) -> Tensor:
    """Return rows of tokens as `(B, T)`."""
    tokens: Tensor = collate_tokens([torch.tensor(row) for row in rows], pad, left_pad=left)
    return tokens


def lengths(rows: list[list[int]]) -> Tensor:
    """Return the lengths of rows, `(B,)`."""
    return torch.tensor([len(row) for row in rows])
