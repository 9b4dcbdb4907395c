"""What the families that predict tokens predict; classifiers: see `sentence_prediction.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..losses.model_output import ModelOutput
from ..models.outputs import decoder_output
from ..protocols import Sample


@dataclass(frozen=True)
class TokenPrediction:
    """Predict a token at every position that has a label.

    Attributes:
        criterion: registered name, for error messages.
        padding_idx: the index of padding.
        teacher_class: what a teacher must be an instance of, and `teacher_words` for users.
        ignore_prefix_size: the number of leading target positions without a loss.
        masks_differ_by_epoch: see `protocols.Prediction`.
        output: runs a model, given its inputs and positions.
    """

    criterion: str
    padding_idx: int
    teacher_class: type[nn.Module]
    teacher_words: str
    ignore_prefix_size: int = 0
    masks_differ_by_epoch: bool = False
    output: Callable[[nn.Module, dict[str, Any], Tensor], ModelOutput] = decoder_output

    @property
    def output_depends_on_labels(self) -> bool:
        """True: labels are fed to the decoder, or chosen by the mask."""
        return True

    @property
    def is_regression(self) -> bool:
        """False: tokens have probabilities."""
        return False

    def compute_output(self, model: nn.Module, sample: Sample, positions: Tensor) -> ModelOutput:
        """Run student or teacher; return its output at the N chosen `positions` `(B, T)` (bool)."""
        return self.output(model, sample["net_input"], positions)

    def label_positions(self, sample: Sample) -> Tensor:
        """Return `(B, T)` bool: the positions that have a label and count in the loss."""
        positions = sample["target"].ne(self.padding_idx)
        if self.ignore_prefix_size:
            positions[:, : self.ignore_prefix_size] = False
        return positions

    def check_teacher(self, model: nn.Module, path: str) -> None:
        """Raise a ValueError unless the model of checkpoint `path` is a `teacher_class`."""
        if not isinstance(model, self.teacher_class):
            raise ValueError(
                f"--kd-teacher {path}: {self.criterion} needs {self.teacher_words} as its "
                f"teacher, got {type(model).__name__}"
            )
