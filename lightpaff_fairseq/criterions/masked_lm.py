"""The criterion `kd_mlm`: masked language modeling (BERT)."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.criterions.masked_lm import MaskedLmConfig, MaskedLmLoss
from fairseq.models import FairseqEncoderModel
from torch import Tensor, nn

from ..losses.model_output import ModelOutput
from ..models.outputs import encoder_output
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

    masks_differ_by_epoch = True
    extra_metrics = ("kd_loss", "nll_loss")
    stock_ppl_is_of_loss = True

    def compute_output(
        self, model: nn.Module, sample: dict[str, Any], positions: Tensor
    ) -> ModelOutput:
        return encoder_output(model, sample["net_input"], positions)

    def sample_size(self, sample: dict[str, Any]) -> Any:
        return self.label_positions(sample).sum()

    def check_teacher(self, model: nn.Module, path: str) -> None:
        self.expect((model, path), FairseqEncoderModel, "an encoder (BERT, RoBERTa, XLM-R)")
