"""Criterions of the first stage, pre-training with distillation."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.criterions.masked_lm import MaskedLmConfig, MaskedLmLoss
from fairseq.models import FairseqEncoderModel, FairseqLanguageModel
from torch import Tensor, nn

from ..models.mass import MassModel
from ..models.outputs import Readout, encoder_readout
from .config import DistillationConfig
from .distillation import DistillationMixin


@dataclass
class KdMlmConfig(DistillationConfig, MaskedLmConfig):
    """Flags of `kd_mlm`."""


@register_criterion("kd_mlm", dataclass=KdMlmConfig)
class KdMlm(DistillationMixin, MaskedLmLoss):
    """Masked language modeling (BERT): the masked tokens, over the vocabulary.

    Only masked positions go through the two heads. The teacher sees the student's masked input.
    Source: LightPAFF, the MLM row of its two losses.
    """

    masks_differ_by_epoch = True
    extra_metrics = ("kd_loss", "nll_loss")
    stock_ppl_is_of_loss = True

    def read_out(self, model: nn.Module, sample: dict[str, Any], positions: Tensor) -> Readout:
        return encoder_readout(model, sample["net_input"], positions)

    def sample_size(self, sample: dict[str, Any]) -> Any:
        return self.label_positions(sample).sum()

    def check_teacher(self, model: nn.Module, path: str) -> None:
        self.expect((model, path), FairseqEncoderModel, "an encoder (BERT, RoBERTa, XLM-R)")


@dataclass
class KdClmConfig(DistillationConfig, CrossEntropyCriterionConfig):
    """Flags of `kd_clm`."""


@register_criterion("kd_clm", dataclass=KdClmConfig)
class KdClm(DistillationMixin, CrossEntropyCriterion):
    """Causal language modeling (GPT-2): every position, over the vocabulary.

    Source: LightPAFF, the CLM row of its two losses.
    """

    extra_metrics = ("kd_loss", "nll_loss")
    stock_ppl_is_of_loss = True

    def check_teacher(self, model: nn.Module, path: str) -> None:
        self.expect((model, path), FairseqLanguageModel, "a language model (transformer_lm)")


@dataclass
class KdMssmConfig(DistillationConfig, LabelSmoothedCrossEntropyCriterionConfig):
    """Flags of `kd_mssm`."""


@register_criterion("kd_mssm", dataclass=KdMssmConfig)
class KdMssm(DistillationMixin, LabelSmoothedCrossEntropyCriterion):
    """Masked seq2seq modeling (MASS): every token of the masked fragment, over the vocabulary.

    Source: LightPAFF, the MSSM row of its two losses; the student's masked input is the teacher's.
    """

    masks_differ_by_epoch = True

    def check_teacher(self, model: nn.Module, path: str) -> None:
        wanted = (
            "a model of --task masked_seq2seq and --arch mass_... (its decoder takes positions)"
        )
        self.expect((model, path), MassModel, wanted)
