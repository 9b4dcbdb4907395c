"""Teachers that run beside the student, on the same batch."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..losses.ensemble import EnsembleOutput
from ..losses.model_output import LogitsOutput, ModelOutput
from ..protocols import Prediction, Sample, Task
from .loading import check_lengths, load_teacher

logger = logging.getLogger(__name__)


class TeacherModel(NamedTuple):
    """A frozen model and the checkpoint that it came from."""

    path: str
    model: nn.Module


def load_models(
    paths: str | None, data: str | None, prediction: Prediction, task: Task
) -> list[TeacherModel]:
    """Load the model or models of `--kd-teacher`.

    Args:
        paths: checkpoints, separated by colons.
        data: folder with their dictionaries; None: where they were trained.
        prediction: of the criterion; task: of the student.
    Raises:
        ValueError: there is no teacher, or one cannot be used.
    """
    if paths is None:
        raise ValueError(
            "--kd-teacher is missing: distillation needs a teacher checkpoint, or --kd-cache; "
            "--kd-lambda 0 trains without one, where no --kd-...-weight is set"
        )
    if "" in paths.split(":"):
        raise ValueError(f"--kd-teacher {paths}: expected files separated by one colon")
    models = []
    for path in paths.split(":"):
        model = load_teacher(path, task, data)
        prediction.check_teacher(model, path)
        models.append(TeacherModel(path, model))
        size = sum(p.numel() for p in model.parameters())
        logger.info(f"teacher: {type(model).__name__}, {size:,} parameters, {path}")
    return models


class OnlineTeacher:
    """One or more frozen models that run on the student's batch; several teach their mean.

    The teacher is not a submodule: as one of the criterion all its tensors would enter every
    checkpoint, the optimizer and the data-parallel wrapper. Hence it follows the student's device
    and dtype by itself.

    Args:
        teachers: at least one, in eval mode.
        prediction: of the criterion; task: of the student.
    """

    def __init__(
        self, teachers: Sequence[TeacherModel], prediction: Prediction, task: Task
    ) -> None:
        self._teachers, self._prediction, self._task = teachers, prediction, task
        self.models = tuple(teacher.model for teacher in teachers)

    @property
    def model(self) -> nn.Module:
        """The only one, or the first."""
        return self.models[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The flag and each checkpoint; of a regression, whose outputs are one mean, all in one."""
        if self._prediction.is_regression:
            return (f"--kd-teacher {':'.join(teacher.path for teacher in self._teachers)}",)
        return tuple(f"--kd-teacher {teacher.path}" for teacher in self._teachers)

    def prepare(self, student: nn.Module) -> None:
        """Check that no teacher takes shorter samples than the student may be given."""
        for path, model in self._teachers:
            check_lengths(path, model, student, self._task)

    def begin_epoch(self, epoch: int, split: str) -> None:
        """Do nothing: no epoch differs from another."""

    @torch.no_grad()
    def soft_targets(self, student: nn.Module, sample: Sample, positions: Tensor) -> ModelOutput:
        """Return the output at `positions` `(B, T)` (bool), given the student's input.

        Several teachers: the mean of their probabilities, or of the values of a regression.
        """
        weight = next(student.parameters())
        outputs = [self._output(model, weight, sample, positions) for model in self.models]
        if self._prediction.is_regression:
            return LogitsOutput(torch.stack([x.logits() for x in outputs]).mean(0))
        return outputs[0] if len(outputs) == 1 else EnsembleOutput(tuple(outputs))

    def _output(
        self, model: nn.Module, like: Tensor, sample: Sample, positions: Tensor
    ) -> ModelOutput:
        weight = next(model.parameters())
        if weight.device != like.device or weight.dtype != like.dtype:
            model.to(device=like.device, dtype=like.dtype)
        return self._prediction.compute_output(model, sample, positions)
