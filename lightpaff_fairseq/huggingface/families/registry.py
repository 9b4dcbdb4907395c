"""Find a family by its `model_type`."""

from collections.abc import Collection

from ...json_files import value_as
from .bart import BART, M2M, MBART
from .bert import BARE, BERT, DISTILBERT, ELECTRA, ROBERTA, XLM_R
from .encoder_names import ENCODERS
from .family import Config, Family
from .foreign import foreign_reasons
from .gpt2 import GPT2
from .marian import MARIAN

FAMILIES = {
    family.model_type: family
    for family in (
        *(BERT, ROBERTA, XLM_R, DISTILBERT, ELECTRA),
        *(GPT2, BART, MBART, M2M, MARIAN),
    )
}
# Classes whose weights another class holds: all, or all but heads that fairseq has no place for.
READ_AS = {
    "BartModel": "BartForConditionalGeneration",
    "BertForPreTraining": "BertForMaskedLM",
    "ElectraForPreTraining": "ElectraModel",
}
CLASSIFIER, MASKED_LM = "ForSequenceClassification", "ForMaskedLM"


def find_family(config: Config) -> Family:
    """Return the family of a configuration.

    Raises:
        ValueError: there is none: all that fairseq lacks for it.
    """
    model_type = str(config["model_type"])
    if model_type in FAMILIES:
        return FAMILIES[model_type]
    reasons = foreign_reasons(config)
    lacking = f": fairseq has no {', '.join(reasons)}" if reasons else ""
    raise ValueError(
        f"model_type: expected one of {', '.join(FAMILIES)}, got {model_type!r}{lacking}"
    )


def find_class(family: Family, config: Config, names: Collection[str]) -> str:
    """Return the transformers class that loads a model.

    An encoder without `architectures`, or of a class without a head, is read as what its weights
    are: a masked language model, a classifier or a bare encoder.

    Args:
        names: of the tensors in the folder.
    Raises:
        ValueError: a class (another head) that fairseq has no counterpart for.
    """
    architectures = config.get("architectures") or []
    value_as(list[str], architectures, "architectures")
    known = (*family.classes, *READ_AS)
    if len(architectures) > 1 or any(name not in known for name in architectures):
        raise ValueError(
            f"architectures: expected one of {', '.join(family.classes)}, got "
            f"{', '.join(architectures)}"
        )
    name = READ_AS.get(architectures[0], architectures[0]) if architectures else None
    bare = family.classes[-1]
    if not bare.endswith(BARE) or name not in (None, bare):
        return name or family.classes[0]
    heads = [MASKED_LM] if _has_mlm_head(family, names) else []
    heads += [CLASSIFIER] if name is None and _has_classifier(family, names) else []
    return next((x for head in heads for x in family.classes if x.endswith(head)), bare)


def _has_mlm_head(family: Family, names: Collection[str]) -> bool:
    head = ENCODERS.get(family.model_type, ENCODERS["roberta"]).mlm_head
    return bool(head) and f"{head[0]}.weight" in names


def _has_classifier(family: Family, names: Collection[str]) -> bool:
    head = ENCODERS.get(family.model_type, ENCODERS["roberta"]).classifier
    return f"{head['out_proj']}.weight" in names
