"""The criterion `kd_mlm`: masked language modeling (BERT)."""

from dataclasses import dataclass

from fairseq.criterions import register_criterion
from fairseq.criterions.masked_lm import MaskedLmConfig, MaskedLmLoss
from fairseq.models import FairseqEncoderModel

from ..models.outputs import encoder_output
from ..protocols import Sample
from .config import DistillationConfig
from .distillation import DistillationMixin


@dataclass
class KdMaskedLmConfig(DistillationConfig, MaskedLmConfig):
    """Flags of `kd_mlm`."""


@register_criterion("kd_mlm", dataclass=KdMaskedLmConfig)
class KdMaskedLmCriterion(DistillationMixin, MaskedLmLoss):
    """Masked language modeling (BERT): the masked tokens, over the vocabulary.

    Only masked positions go through the two heads. The teacher sees the student's masked input.
    Source: LightPAFF, the MLM row of its two losses.
    """

    extra_metrics = ("kd_loss", "nll_loss")
    stock_ppl_is_of_loss = True
    teacher_type = FairseqEncoderModel, "an encoder (BERT, RoBERTa, XLM-R)"
    masks_differ_by_epoch = True
    run = staticmethod(encoder_output)

    def sample_size(self, sample: Sample, positions: int) -> int:
        return positions  # the masked tokens
