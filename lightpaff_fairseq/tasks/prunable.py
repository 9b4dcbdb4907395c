"""Stock tasks (and MASS pre-training) whose model is pruned in training.

No postponed annotations here: fairseq reads the types of the flags.
"""

from dataclasses import dataclass

from fairseq.tasks import register_task
from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask
from fairseq.tasks.masked_lm import MaskedLMConfig, MaskedLMTask
from fairseq.tasks.sentence_prediction import SentencePredictionConfig, SentencePredictionTask
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from .masked_seq2seq import MaskedSeq2SeqConfig, MaskedSeq2SeqTask
from .pruning import PruningConfig, PruningMixin


@dataclass
class PrunableMaskedLmConfig(PruningConfig, MaskedLMConfig):
    """Flags of `prunable_masked_lm`."""


@register_task("prunable_masked_lm", dataclass=PrunableMaskedLmConfig)
class PrunableMaskedLmTask(PruningMixin, MaskedLMTask):
    """`masked_lm` (BERT pre-training) with a model that is pruned."""


@dataclass
class PrunableLanguageModelingConfig(PruningConfig, LanguageModelingConfig):
    """Flags of `prunable_language_modeling`."""


@register_task("prunable_language_modeling", dataclass=PrunableLanguageModelingConfig)
class PrunableLanguageModelingTask(PruningMixin, LanguageModelingTask):
    """`language_modeling` with a model that is pruned."""


@dataclass
class PrunableTranslationConfig(PruningConfig, TranslationConfig):
    """Flags of `prunable_translation`."""


@register_task("prunable_translation", dataclass=PrunableTranslationConfig)
class PrunableTranslationTask(PruningMixin, TranslationTask):
    """`translation` with a model that is pruned."""


@dataclass
class PrunableMaskedSeq2SeqConfig(PruningConfig, MaskedSeq2SeqConfig):
    """Flags of `prunable_masked_seq2seq`."""


@register_task("prunable_masked_seq2seq", dataclass=PrunableMaskedSeq2SeqConfig)
class PrunableMaskedSeq2SeqTask(PruningMixin, MaskedSeq2SeqTask):
    """`masked_seq2seq` (MASS pre-training) with a model that is pruned."""


@dataclass
class PrunableSentencePredictionConfig(PruningConfig, SentencePredictionConfig):
    """Flags of `prunable_sentence_prediction`."""


@register_task("prunable_sentence_prediction", dataclass=PrunableSentencePredictionConfig)
class PrunableSentencePredictionTask(PruningMixin, SentencePredictionTask):
    """`sentence_prediction` (classification, regression) with a model that is pruned."""
