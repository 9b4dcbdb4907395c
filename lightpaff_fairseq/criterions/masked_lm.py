"""The criterion `kd_mlm`: masked language modeling (BERT)."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.criterions.masked_lm import MaskedLmConfig, MaskedLmLoss
from fairseq.models import FairseqEncoderModel
from torch import Tensor

from ..models.outputs import encoder_output
from ..protocols import Prediction, Sample
from .config import DistillationConfig
from .distillation import DistillationMixin
from .prediction import TokenPrediction


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

    def build_prediction(self, cfg: Any) -> Prediction:
        """Return what this criterion predicts: the masked tokens."""
        return TokenPrediction(
            cfg._name,
            self.padding_idx,
            FairseqEncoderModel,
            "an encoder (BERT, RoBERTa, XLM-R)",
            masks_differ_by_epoch=True,
            output=encoder_output,
        )

    def sample_size(self, sample: Sample, positions: Tensor) -> Tensor:
        """Return the number of masked tokens."""
        return positions.sum()
