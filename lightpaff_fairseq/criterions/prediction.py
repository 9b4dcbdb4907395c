"""The prediction of families whose labels are tokens; classifiers: `sentence_prediction.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fairseq.models import (
    FairseqEncoderDecoderModel,
    FairseqEncoderModel,
    FairseqLanguageModel,
)
from fairseq.models.nat import FairseqNATModel
from torch import Tensor, nn

from ..losses.label_positions import LabelPositions
from ..losses.model_output import ModelOutput
from ..models.outputs import decoder_output, unwrapped
from ..models.untrained_head import has_untrained_head
from ..protocols import Sample

KINDS = (FairseqEncoderModel, FairseqLanguageModel, FairseqEncoderDecoderModel)
# model, its inputs, positions
Run = Callable[[nn.Module, dict[str, Any], LabelPositions], ModelOutput]


@dataclass(frozen=True)
class TokenPrediction:
    """Predict a token at every position that has a label; see `protocols.Prediction`.

    Attributes:
        criterion: registered name; teacher_type: class of its teachers, and its description.
        run: computes the output of a model.
    """

    criterion: str
    padding_idx: int
    ignore_prefix_size: int
    teacher_type: tuple[type[nn.Module], str]
    masks_differ_by_epoch: bool = False
    run: Run = decoder_output
    output_depends_on_labels: bool = True  # the decoder's input, or chosen by the mask
    is_regression: bool = False

    def compute_output(
        self, model: nn.Module, sample: Sample, positions: LabelPositions
    ) -> ModelOutput:
        return self.run(model, sample["net_input"], positions)

    def label_positions(self, sample: Sample) -> Tensor:
        positions = sample["target"].ne(self.padding_idx)
        if self.ignore_prefix_size:
            positions[:, : self.ignore_prefix_size] = False
        return positions

    def check_student(self, model: nn.Module) -> None:
        expected, words = self.teacher_type
        student = unwrapped(model)
        if isinstance(student, KINDS) and not isinstance(student, expected):
            raise ValueError(
                f"--criterion {self.criterion}: expected {words} as the student, got "
                f"{type(student).__name__}; --task, --arch and --criterion have to fit together"
            )

    def check_teacher(self, model: nn.Module, named: str) -> None:
        expected, words = self.teacher_type
        problem = f"{named}: {self.criterion} needs {words} as its teacher"
        if not isinstance(model, expected):
            raise ValueError(f"{problem}, got {type(model).__name__}")
        if self.masks_differ_by_epoch and has_untrained_head(model.state_dict()):
            raise ValueError(
                f"{problem}, got one whose masked-LM head was never trained: it came from an "
                "encoder without a head"
            )
        if isinstance(model, FairseqNATModel):
            raise ValueError(
                f"{problem}, which predicts one token after another, got {type(model).__name__}, "
                "which predicts all at once"
            )
