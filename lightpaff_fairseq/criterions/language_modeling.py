"""The criterions `kd_clm` and `kd_lm`: causal language modeling (GPT-2)."""

from dataclasses import dataclass

from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig
from fairseq.models import FairseqLanguageModel
from torch import nn

from .config import DistillationConfig
from .distillation import DistillationMixin


@dataclass
class KdCausalPretrainingConfig(DistillationConfig, CrossEntropyCriterionConfig):
    """Flags of `kd_clm`."""


@register_criterion("kd_clm", dataclass=KdCausalPretrainingConfig)
class KdCausalPretrainingCriterion(DistillationMixin, CrossEntropyCriterion):
    """Causal language modeling (GPT-2): every position, over the vocabulary.

    Source: LightPAFF, the CLM row of its two losses.
    """

    extra_metrics = ("kd_loss", "nll_loss")
    stock_ppl_is_of_loss = True

    def check_teacher(self, model: nn.Module, path: str) -> None:
        self.expect((model, path), FairseqLanguageModel, "a language model (transformer_lm)")


@dataclass
class KdLanguageModelingConfig(DistillationConfig, CrossEntropyCriterionConfig):
    """Flags of `kd_lm`."""


@register_criterion("kd_lm", dataclass=KdLanguageModelingConfig)
class KdLanguageModelingCriterion(DistillationMixin, CrossEntropyCriterion):
    """Language modeling in a domain: every position, over the vocabulary.

    Source: LightPAFF, the LM row of its two losses.
    """

    extra_metrics = ("kd_loss", "nll_loss")
    stock_ppl_is_of_loss = True

    def check_teacher(self, model: nn.Module, path: str) -> None:
        self.expect((model, path), FairseqLanguageModel, "a language model (transformer_lm)")
