"""Teachers that run during training, on the student's batches."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..losses.ensemble import EnsembleOutput
from ..losses.label_positions import LabelPositions
from ..losses.model_output import LogitsOutput, ModelOutput
from ..protocols import Prediction, Sample, Task
from .loading import TEACHER, check_lengths, load_teacher

logger = logging.getLogger(__name__)


class TeacherPrecision(NamedTuple):
    """How teachers run.

    Attributes:
        dtype: of weights and activations, without autocast; None: those of the student.
        keeps_activations: true if a loss differentiates through hidden states of theirs, which
            `torch.inference_mode` would forbid.
    """

    dtype: torch.dtype | None = None
    keeps_activations: bool = False


LIKE_STUDENT = TeacherPrecision()


class TeacherModel(NamedTuple):
    """A frozen model and its checkpoint."""

    path: str
    model: nn.Module


def load_models(
    paths: str | None,
    data: str | None,
    prediction: Prediction,
    task: Task,
    flag: str = TEACHER,
) -> list[TeacherModel]:
    """Load the model or models of a flag.

    Args:
        paths: checkpoints, separated by colons.
        data: folder with their dictionaries; None: the data of their training runs.
        prediction: of the criterion; task: of the student.
        flag: the flag that names the checkpoints, for messages.
    Raises:
        ValueError: there is no teacher, or one cannot be used.
    """
    if paths is None:
        raise ValueError(
            "--kd-teacher: expected a checkpoint (or --kd-cache), got none; to train without a "
            "teacher, set --kd-lambda 0 and no --kd-...-weight"
        )
    if "" in paths.split(":"):
        raise ValueError(f"{flag} {paths}: expected files separated by one colon")
    models = []
    for path in paths.split(":"):
        model = load_teacher(path, task, data, flag)
        prediction.check_teacher(model, f"{flag} {path}")
        models.append(TeacherModel(path, model))
        size = sum(p.numel() for p in model.parameters())
        logger.info(f"teacher: {type(model).__name__}, {size:,} parameters, {path}")
    return models


class OnlineTeacher:
    """One or more frozen models that run on the student's batches.

    The teacher is not a submodule of the criterion, or all its tensors would enter checkpoints, the
    optimizer and the data-parallel wrapper. Hence it follows the student's device and dtype by
    itself.

    Args:
        teachers: at least one, in eval mode.
        prediction: of the criterion; task: of the student.
        precision: how they run.
    """

    def __init__(
        self,
        teachers: Sequence[TeacherModel],
        prediction: Prediction,
        task: Task,
        precision: TeacherPrecision = LIKE_STUDENT,
    ) -> None:
        self._teachers, self._prediction, self._task = teachers, prediction, task
        self._precision = precision
        self.models = tuple(teacher.model for teacher in teachers)

    @property
    def model(self) -> nn.Module:
        """The first model."""
        return self.models[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The flag and each checkpoint; of a regression, whose outputs are one mean, all in one."""
        if self._prediction.is_regression:
            return (f"--kd-teacher {':'.join(teacher.path for teacher in self._teachers)}",)
        return tuple(f"--kd-teacher {teacher.path}" for teacher in self._teachers)

    @property
    def sample_limits(self) -> list[Any]:
        """The length limits of samples, in fairseq's form."""
        return [model.max_positions() for model in self.models]  # type: ignore[operator]

    @property
    def entries(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a cache says about its data and its teacher, besides what every cache does."""
        return {}, {}

    def prepare(self, student: nn.Module) -> None:
        """Check the length limits of all teachers."""
        for path, model in self._teachers:
            check_lengths(path, model, student, self._task)

    def begin_epoch(self, epoch: int, split: str) -> None:
        """Do nothing: online teachers need no preparation."""

    @torch.no_grad()
    def soft_targets(
        self, student: nn.Module, sample: Sample, positions: LabelPositions
    ) -> ModelOutput:
        """Return the output for the student's input at N positions.

        Several teachers give the mean of their probabilities, or of the values of a regression.
        """
        weight = next(student.parameters())
        with torch.inference_mode(not self._precision.keeps_activations):
            outputs = [self._output(model, weight, sample, positions) for model in self.models]
        if self._prediction.is_regression:
            return LogitsOutput(torch.stack([x.logits() for x in outputs]).mean(0))
        return outputs[0] if len(outputs) == 1 else EnsembleOutput(tuple(outputs))

    def count(self, sample: Sample, positions: LabelPositions) -> int:
        """Return the number of positions of a batch, on the CPU, at which there is an output."""
        return len(positions)

    def outputs(self, sample: Sample, positions: LabelPositions) -> tuple[list[int], ModelOutput]:
        """Return the number of outputs per sample, and the outputs, for a cache."""
        return positions.mask.sum(1).tolist(), self.soft_targets(self.model, sample, positions)

    def _output(
        self, model: nn.Module, like: Tensor, sample: Sample, positions: LabelPositions
    ) -> ModelOutput:
        weight, own = next(model.parameters()), self._precision.dtype
        dtype = own or like.dtype
        if weight.device != like.device or weight.dtype != dtype:
            with torch.inference_mode(False):  # the weights are used outside of it, too
                model.to(device=like.device, dtype=dtype)
        kind = like.device.type
        with torch.autocast(kind, enabled=own is None and torch.is_autocast_enabled(kind)):
            return self._prediction.compute_output(model, sample, positions)
