"""The families by their `model_type`."""

from .bert import BERT, ROBERTA, XLM_R
from .family import Config, Family
from .gpt2 import GPT2
from .marian import MARIAN
from .seq2seq import BART, M2M, MBART

IMPORTED = {
    family.model_type: family for family in (BERT, ROBERTA, XLM_R, GPT2, BART, MBART, M2M, MARIAN)
}
# Classes whose weights another class holds: all, or all but heads that fairseq has no place for.
READ_AS = {"BartModel": "BartForConditionalGeneration", "BertForPreTraining": "BertForMaskedLM"}


def find_family(config: Config) -> tuple[Family, str]:
    """The family of a configuration, and the class of transformers that loads it.

    Raises:
        ValueError: no such family, or a class (another head) that fairseq has no counterpart for.
    """
    kind = str(config["model_type"])
    if kind not in IMPORTED:
        known = ", ".join(IMPORTED)
        raise ValueError(f"model_type: expected one of {known}, found {kind!r}")
    family = IMPORTED[kind]
    named = config.get("architectures") or [family.classes[0]]
    if len(named) != 1 or named[0] not in (*family.classes, *READ_AS):
        expected = ", ".join(family.classes)
        raise ValueError(f"architectures: expected one of {expected}, found {', '.join(named)}")
    return family, READ_AS.get(named[0], named[0])
