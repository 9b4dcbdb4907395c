"""The classes of a classifier: `id2label` of a configuration, fairseq's dictionary of labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairseq.data import Dictionary
from torch import Tensor

from .families.family import Config
from .vocabulary import SPECIAL

SUFFIX = "ForSequenceClassification"
KINDS = {True: (None, "regression"), False: (None, "single_label_classification")}  # one output?


def problems(config: Config, architecture: str) -> list[str]:
    """Why fairseq's `sentence_prediction` cannot have these classes."""
    if not architecture.endswith(SUFFIX):
        return []
    names, found = class_names(config), []
    kinds = KINDS[len(names) == 1]
    if config.get("problem_type") not in kinds:
        found.append(
            f"problem_type: expected {' or '.join(map(repr, kinds))} of {len(names)} outputs, "
            f"found {config['problem_type']!r}"
        )
    wrong = [n for i, n in enumerate(names) if not n.strip() or "\n" in n or n in names[:i]]
    wrong += [n for n in names if n in SPECIAL]
    if wrong and len(names) > 1:
        found.append(
            "id2label: expected names of one line, each once, that are not fairseq's own, found "
            f"{', '.join(map(repr, wrong))}"
        )
    return found


def class_names(config: Config) -> list[str]:
    """The names in the order of the outputs."""
    labels = config["id2label"]
    return [str(labels[key]) for key in sorted(labels, key=int)]


def task_flags(config: Config, folder: Path) -> list[str]:
    """Flags of `--task sentence_prediction`; writes `label/dict.txt`, but for a regression."""
    names = class_names(config)
    flags = ["--num-classes", str(len(names)), "--init-token", "0", "--separator-token", "2"]
    if len(names) == 1:
        return [*flags, "--regression-target"]
    (folder / "label").mkdir()
    text = "".join(f"{name} 1\n" for name in names)
    (folder / "label" / "dict.txt").write_text(text, encoding="utf-8")
    return flags


def named(config: Mapping[str, Any], task: Any, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """A configuration with the classes that a classifier has in fairseq, whatever it came with."""
    start, end = "classification_heads.", ".out_proj.weight"
    heads = [x for n, x in tensors.items() if n.startswith(start) and n.endswith(end)]
    if not heads:
        return dict(config)
    kept = {k: v for k, v in config.items() if k not in ("id2label", "label2id", "num_labels")}
    dictionary: Dictionary | None = getattr(task, "label_dictionary", None)
    names = dictionary.symbols[dictionary.nspecial :][: len(heads[0])] if dictionary else []
    if len(names) != len(heads[0]) or len(names) == 1:
        return {**kept, "num_labels": len(heads[0])}
    numbers = {name: i for i, name in enumerate(names)}
    return {**kept, "id2label": dict(enumerate(names)), "label2id": numbers}
