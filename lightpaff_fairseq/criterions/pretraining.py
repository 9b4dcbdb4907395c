"""Criterions of the first stage, pre-training with distillation."""

from dataclasses import dataclass

from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from torch import nn

from ..models.mass import MassModel
from .distillation import DistillationConfig, DistillationMixin


@dataclass
class KdMssmConfig(DistillationConfig, LabelSmoothedCrossEntropyCriterionConfig):
    """Flags of `kd_mssm`."""


@register_criterion("kd_mssm", dataclass=KdMssmConfig)
class KdMssm(DistillationMixin, LabelSmoothedCrossEntropyCriterion):
    """Masked seq2seq modelling (MASS): every token of the masked fragment, over the vocabulary.

    Source: LightPAFF, the MSSM row of its two losses; the student's masked input is the teacher's.
    """

    def check_teacher(self, model: nn.Module) -> None:
        if not isinstance(model, MassModel):
            raise ValueError(
                f"--kd-teacher {self.kd.kd_teacher}: kd_mssm needs a teacher that was pre-trained "
                "with --task masked_seq2seq and --arch mass_... (its decoder takes positions); "
                f"found {type(model).__name__}"
            )
