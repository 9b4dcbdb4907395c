"""The criterions `kd_clm` and `kd_lm`: causal language modeling (GPT-2)."""

from dataclasses import dataclass

from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig
from fairseq.models import FairseqLanguageModel

from .config import DistillationConfig
from .distillation import DistillationMixin


@dataclass
class KdLanguageModelingConfig(DistillationConfig, CrossEntropyCriterionConfig):
    """Flags of `kd_clm` and `kd_lm`."""


@register_criterion("kd_lm", dataclass=KdLanguageModelingConfig)
class KdLanguageModelingCriterion(DistillationMixin, CrossEntropyCriterion):
    """Language modeling in a domain: every position, over the vocabulary.

    Source: LightPAFF, the LM row of its two losses.
    """

    extra_metrics = ("kd_loss", "nll_loss")
    stock_ppl_is_of_loss = True
    teacher_type = FairseqLanguageModel, "a language model (transformer_lm)"


@register_criterion("kd_clm", dataclass=KdLanguageModelingConfig)
class KdCausalPretrainingCriterion(KdLanguageModelingCriterion):
    """Causal language modeling (GPT-2): every position, over the vocabulary.

    Source: LightPAFF, the CLM row of its two losses.
    """
