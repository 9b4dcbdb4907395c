"""The criterions `kd_mssm` (MASS pre-training) and `kd_ss` (translation, summarization)."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.models import FairseqEncoderDecoderModel
from fairseq.models.nat import FairseqNATModel
from torch import nn

from ..models.mass import MassModel
from ..protocols import Prediction
from .config import DistillationConfig
from .distillation import DistillationMixin
from .prediction import TokenPrediction


@dataclass
class KdMaskedSeq2SeqConfig(DistillationConfig, LabelSmoothedCrossEntropyCriterionConfig):
    """Flags of `kd_mssm`."""


@register_criterion("kd_mssm", dataclass=KdMaskedSeq2SeqConfig)
class KdMaskedSeq2SeqCriterion(DistillationMixin, LabelSmoothedCrossEntropyCriterion):
    """Masked seq2seq modeling (MASS): every token of the masked fragment, over the vocabulary.

    Source: LightPAFF, the MSSM row of its two losses; the student's masked input is the teacher's.
    """

    def build_prediction(self, cfg: Any) -> Prediction:
        """Return what this criterion predicts: the masked fragment."""
        return TokenPrediction(
            cfg._name,
            self.padding_idx,
            MassModel,
            "a model of --task masked_seq2seq and --arch mass_... (its decoder takes positions)",
            self.ignore_prefix_size,
            masks_differ_by_epoch=True,
        )


@dataclass
class KdSeq2SeqConfig(DistillationConfig, LabelSmoothedCrossEntropyCriterionConfig):
    """Flags of `kd_ss`."""


class Seq2SeqPrediction(TokenPrediction):
    """Predict a target from left to right."""

    def check_teacher(self, model: nn.Module, path: str) -> None:
        """Raise a ValueError unless the model of checkpoint `path` does, too."""
        super().check_teacher(model, path)
        if isinstance(model, FairseqNATModel):
            raise ValueError(
                f"--kd-teacher {path}: kd_ss needs a teacher that predicts one token after "
                f"another, got {type(model).__name__}, which predicts all at once"
            )


@register_criterion("kd_ss", dataclass=KdSeq2SeqConfig)
class KdSeq2SeqCriterion(DistillationMixin, LabelSmoothedCrossEntropyCriterion):
    """Sequence to sequence (translation, summarization): every target position, teacher-forced.

    Source: LightPAFF, the SS row of its two losses.
    """

    def build_prediction(self, cfg: Any) -> Prediction:
        """Return what this criterion predicts: the target."""
        return Seq2SeqPrediction(
            cfg._name,
            self.padding_idx,
            FairseqEncoderDecoderModel,
            "an encoder-decoder",
            self.ignore_prefix_size,
        )
