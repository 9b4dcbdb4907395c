"""The criterions `kd_mssm` (MASS pre-training) and `kd_ss` (translation, summarization)."""

from dataclasses import dataclass

from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.models import FairseqEncoderDecoderModel

from ..models.mass import MassModel
from .config import DistillationConfig
from .distillation import DistillationMixin


@dataclass
class KdSeq2SeqConfig(DistillationConfig, LabelSmoothedCrossEntropyCriterionConfig):
    """Flags of `kd_mssm` and `kd_ss`."""


@register_criterion("kd_mssm", dataclass=KdSeq2SeqConfig)
class KdMaskedSeq2SeqCriterion(DistillationMixin, LabelSmoothedCrossEntropyCriterion):
    """Masked seq2seq modeling (MASS): every token of the masked fragment, over the vocabulary.

    Source: LightPAFF, the MSSM row of its two losses; the student's masked input is the teacher's.
    """

    teacher_type = (
        MassModel,
        "a model of --task masked_seq2seq and --arch mass_... (its decoder takes positions)",
    )
    masks_differ_by_epoch = True


@register_criterion("kd_ss", dataclass=KdSeq2SeqConfig)
class KdSeq2SeqCriterion(DistillationMixin, LabelSmoothedCrossEntropyCriterion):
    """Sequence to sequence (translation, summarization): every target position, teacher-forced.

    Source: LightPAFF, the SS row of its two losses.
    """

    teacher_type = FairseqEncoderDecoderModel, "an encoder-decoder"
