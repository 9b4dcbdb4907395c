"""A teacher that runs beside the student, on the same batch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..distill.readout import Readout


class OnlineTeacher:
    """A frozen model that replays the student's call.

    Deliberately not an `nn.Module`: as a sub-module of the criterion all its tensors would enter
    every checkpoint, the optimizer and the data-parallel wrapper. It therefore follows the
    student's device and dtype by itself.

    Args:
        model: the teacher, frozen and in eval mode.
        read: how a model of this family is read out:
            `(model, sample, positions) -> Readout` of N positions.
    """

    def __init__(
        self, model: nn.Module, read: Callable[[nn.Module, dict[str, Any], Tensor], Readout]
    ) -> None:
        self.model = model
        self._read = read

    @torch.no_grad()
    def soft_targets(
        self, student: nn.Module, sample: dict[str, Any], positions: Tensor
    ) -> Readout:
        """The teacher's prediction at `positions` `(B, T)` (bool), given the student's input."""
        own, theirs = next(self.model.parameters()), next(student.parameters())
        if own.device != theirs.device or own.dtype != theirs.dtype:
            self.model.to(device=theirs.device, dtype=theirs.dtype)
        return self._read(self.model, sample, positions)
