"""Find a family by its `model_type`."""

from ...json_files import value_as
from .bart import BART, M2M, MBART
from .bert import BERT, ROBERTA, XLM_R
from .family import Config, Family
from .gpt2 import GPT2
from .marian import MARIAN

FAMILIES = {
    family.model_type: family for family in (BERT, ROBERTA, XLM_R, GPT2, BART, MBART, M2M, MARIAN)
}
# Classes whose weights another class holds: all, or all but heads that fairseq has no place for.
READ_AS = {"BartModel": "BartForConditionalGeneration", "BertForPreTraining": "BertForMaskedLM"}


def find_family(config: Config) -> tuple[Family, str]:
    """Return the family of a configuration, and the transformers class that loads it.

    Raises:
        ValueError: no such family, or a class (another head) that fairseq has no counterpart for.
    """
    model_type = str(config["model_type"])
    if model_type not in FAMILIES:
        raise ValueError(f"model_type: expected one of {', '.join(FAMILIES)}, got {model_type!r}")
    family = FAMILIES[model_type]
    architectures = config.get("architectures") or [family.classes[0]]
    value_as(list[str], architectures, "architectures")
    if len(architectures) != 1 or architectures[0] not in (*family.classes, *READ_AS):
        raise ValueError(
            f"architectures: expected one of {', '.join(family.classes)}, got "
            f"{', '.join(architectures)}"
        )
    return family, READ_AS.get(architectures[0], architectures[0])
