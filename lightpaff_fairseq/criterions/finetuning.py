"""Criterions of the second stage, fine-tuning with distillation."""

from dataclasses import dataclass

from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.models import FairseqEncoderDecoderModel
from torch import nn

from .distillation import DistillationConfig, DistillationMixin


@dataclass
class KdSsConfig(DistillationConfig, LabelSmoothedCrossEntropyCriterionConfig):
    """Flags of `kd_ss`."""


@register_criterion("kd_ss", dataclass=KdSsConfig)
class KdSs(DistillationMixin, LabelSmoothedCrossEntropyCriterion):
    """Sequence to sequence (translation, summarisation): every target position, teacher-forced.

    Source: LightPAFF, the SS row of its two losses.
    """

    def check_teacher(self, model: nn.Module) -> None:
        if not isinstance(model, FairseqEncoderDecoderModel):
            raise ValueError(
                f"--kd-teacher {self.kd.kd_teacher}: kd_ss needs an encoder-decoder teacher, "
                f"found {type(model).__name__}"
            )
