"""Teachers that run beside the student, on the same batch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..losses.ensemble import EnsembleOutput
from ..losses.model_output import ModelOutput

Read = Callable[[nn.Module, dict[str, Any], Tensor], ModelOutput]


def mean_of_probabilities(members: Sequence[ModelOutput]) -> ModelOutput:
    """How several teachers of symbols or classes are joined; one is left as it is."""
    return members[0] if len(members) == 1 else EnsembleOutput(tuple(members))


class OnlineTeacher:
    """One or more frozen models that replay the student's call.

    Deliberately not an `nn.Module`: as a sub-module of the criterion all its tensors would enter
    every checkpoint, the optimizer and the data-parallel wrapper. It therefore follows the
    student's device and dtype by itself.

    Args:
        models: the teachers, frozen and in eval mode.
        read: how a model of this family is read out:
            `(model, sample, positions) -> ModelOutput` of N positions.
        join: makes one readout of those of all models.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        read: Read,
        join: Callable[[Sequence[ModelOutput]], ModelOutput] = mean_of_probabilities,
    ) -> None:
        self.models = tuple(models)
        self._read, self._join = read, join

    @property
    def model(self) -> nn.Module:
        """The only teacher, or the first."""
        return self.models[0]

    def begin_epoch(self, epoch: int, split: str) -> None:
        """Nothing depends on the epoch."""

    @torch.no_grad()
    def soft_targets(
        self, student: nn.Module, sample: dict[str, Any], positions: Tensor
    ) -> ModelOutput:
        """The prediction at `positions` `(B, T)` (bool), given the student's input."""
        theirs = next(student.parameters())
        return self._join([self._run(model, theirs, sample, positions) for model in self.models])

    def _run(
        self, model: nn.Module, like: Tensor, sample: dict[str, Any], positions: Tensor
    ) -> ModelOutput:
        own = next(model.parameters())
        if own.device != like.device or own.dtype != like.dtype:
            model.to(device=like.device, dtype=like.dtype)
        return self._read(model, sample, positions)
