"""What the criterions differ in: which model, which positions, which sums."""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from ..losses.model_output import ModelOutput
from ..models.outputs import decoder_output
from ..teachers.online import mean_of_probabilities
from .config import DistillationConfig


class Prediction:
    """How student and teacher predict, and what counts; a criterion overrides what differs."""

    # metrics beside the stock ones, in nats a label in the log and bits when shown
    extra_metrics: ClassVar[tuple[str, ...]] = ("kd_loss",)
    # whether the stock criterion takes `loss` for that of the labels, and `ppl` from it
    stock_ppl_is_of_loss: ClassVar[bool] = False
    # whether the task draws new masks in every epoch, and whether the teacher is given the labels
    masks_differ_by_epoch: ClassVar[bool] = False
    teacher_sees_labels: ClassVar[bool] = True

    kd: DistillationConfig

    def compute_output(
        self, model: nn.Module, sample: dict[str, Any], positions: Tensor
    ) -> ModelOutput:
        """The prediction of student or teacher at `positions` `(B, T)` (bool)."""
        return decoder_output(model, sample["net_input"], positions)

    def label_positions(self, sample: dict[str, Any]) -> Tensor:
        """`(B, T)` bool: the positions that have a label and count in the loss."""
        positions = sample["target"].ne(self.padding_idx)  # type: ignore[attr-defined]
        skip = getattr(self, "ignore_prefix_size", 0)
        if skip:
            positions[:, :skip] = False
        return positions

    def sample_size(self, sample: dict[str, Any]) -> Any:
        """fairseq's divisor of loss and gradient: sentences or tokens."""
        return sample["target"].size(0) if self.sentence_avg else sample["ntokens"]  # type: ignore[attr-defined]

    def join(self, members: Sequence[ModelOutput]) -> ModelOutput:
        """One readout of those of all teachers."""
        return mean_of_probabilities(members)

    def labels_per_sentence(self, sample: dict[str, Any]) -> Tensor:
        """`(B,)`: how often a sentence's knowledge terms count."""
        return self.label_positions(sample).sum(1)

    def check_teacher(self, model: nn.Module, path: str) -> None:
        """Raises ValueError if a model of this kind cannot teach under this criterion."""

    def expect(self, teacher: tuple[nn.Module, str], kind: type, words: str) -> None:
        """Raises ValueError unless the teacher (and its file) is a `kind`, `words` to a user."""
        model, path = teacher
        if not isinstance(model, kind):
            raise ValueError(
                f"--kd-teacher {path}: {self.kd._name} needs {words} as its teacher, "
                f"found {type(model).__name__}"
            )
