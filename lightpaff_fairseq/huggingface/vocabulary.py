"""Decide the dictionaries of a converted model: its tokens in fairseq's order, and its classes.

fairseq puts `<s> <pad> </s> <unk>` in rows 0 to 3, always. The tokenizer's counterparts move
there and all other tokens keep their order, so the table of embeddings is only permuted. GPT-2 has
one special token, its `</s>`. The other rows get byte tokens that no valid UTF-8 text can contain
(0xC0, 0xC1, 0xF5), so no token is lost, none is added, and probabilities stay what they were.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq.data import Dictionary
from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode
from torch import Tensor

from ..checkpoints.building import heads_in
from ..problems import Problems
from .families.family import Config, Family
from .families.registry import CLASSIFIER
from .tokenizers import Merges, read_merges

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
ROLES = (("cls_token", "bos_token"), ("pad_token",), ("eos_token", "sep_token"), ("unk_token",))
NEVER_IN_UTF8 = (0xC0, 0xC1, 0xF5)
MOST_FILLERS = 127  # vocabularies are rounded up to multiples of at most 128
LANGUAGE = {  # alphabet: (a language token, fairseq's name of it)
    "mbart": (r"([a-z]{2,3}_[A-Z]{2})", "[{}]"),
    "multilingual": (r"(?:__([a-z]{2,3})__|([a-z]{3}_[A-Z][a-z]{3}))", "__{}__"),
}
REGRESSION, SINGLE_LABEL = (None, "regression"), (None, "single_label_classification")


@dataclass(frozen=True)
class Vocabulary:
    """A dictionary and where its rows come from.

    Attributes:
        symbols: all symbols, fairseq's four first.
        order: the Hugging Face id of each; one beyond the table stands for a new row.
        languages: as fairseq's `--langs` expects them.
        merges: of a byte-level BPE.
    """

    symbols: list[str]
    order: list[int]
    languages: list[str] = field(default_factory=list)
    merges: Merges | None = None

    def write(self, path: Path) -> None:
        """Write `dict.txt`: all but the first four symbols, which fairseq adds by itself."""
        _write_dictionary(self.symbols[len(SPECIAL) :], path)


def read_vocabulary(tokenizer: Any, config: Config, family: Family) -> Vocabulary:
    """Return the dictionary of a transformers tokenizer.

    Raises:
        ValueError: it has tokens beyond the model's table or far too few, or lacks what fairseq
            needs: all problems.
    """
    size = int(config["vocab_size"])
    ids = {**tokenizer.get_vocab(), **getattr(tokenizer, "lang_token_to_id", {})}
    tokens = {int(i): str(token) for token, i in sorted(ids.items(), key=lambda item: item[1])}
    problems = _size_problems(tokens, size)
    merges = read_merges(tokenizer) if family.alphabet == "gpt2" else None
    special = _special_ids(tokenizer, {t: i for i, t in tokens.items()}, family.model_type)
    if family.alphabet == "marian":
        special[0] = size  # a row of its own, see `marian`
    counterparts = dict(zip(SPECIAL, special, strict=True))
    missing = [name for name, i in counterparts.items() if i is None]
    text = f"tokenizer: expected counterparts of {' '.join(SPECIAL)}, got none of"
    problems.unless(not missing, f"{text} {', '.join(missing)}")
    shared = [n for n, i in counterparts.items() if i is not None and special.count(i) > 1]
    text = f"tokenizer: expected as many special tokens, got one token for {' and '.join(shared)}"
    problems.unless(not shared, text)
    problems.raise_if_any()
    order = [i for i in special if i is not None]
    order += sorted(set(range(size)) - set(order))
    languages: list[str] = []
    names = {i: _symbol(token, tokenizer, family, merges, languages) for i, token in tokens.items()}
    symbols = [*SPECIAL, *(names.get(i, f"madeupword{i}") for i in order[len(SPECIAL) :])]
    _check_symbols(symbols, needs_mask=family.task == "masked_lm")
    return Vocabulary(symbols, order, languages, merges)


def _size_problems(tokens: Mapping[int, str], size: int) -> Problems:
    beyond = sorted(token for i, token in tokens.items() if i >= size)
    problems = Problems()
    problems.unless(
        not beyond,
        f"tokenizer: expected at most the model's vocab_size of {size} tokens, got {len(beyond)} "
        f"tokens beyond: {_quoted(beyond)}",
    )
    problems.unless(
        size - (len(tokens) - len(beyond)) <= MOST_FILLERS,
        f"vocab_size: expected the tokenizer's {len(tokens)} tokens and at most {MOST_FILLERS} "
        f"fillers, got {size}",
    )
    return problems


def _special_ids(tokenizer: Any, ids: Mapping[str, int], model_type: str) -> list[int | None]:
    """Return the ids that become `<s> <pad> </s> <unk>`; None where there is no such token."""
    names: list[str | None] = []
    for role in ROLES:
        values = (getattr(tokenizer, name, None) for name in role)
        names.append(next((str(value) for value in values if value is not None), None))
    if model_type == "gpt2":
        letters = bytes_to_unicode()
        spare, taken = iter(letters[byte] for byte in NEVER_IN_UTF8), {names[2], None}
        for i in (0, 1, 3):
            names[i] = next(spare) if names[i] in taken else names[i]
            taken.add(names[i])
    return [None if name is None else ids.get(name) for name in names]


def _symbol(
    token: str, tokenizer: Any, family: Family, merges: Merges | None, languages: list[str]
) -> str:
    """Return fairseq's name of a token; add a language to `languages`."""
    if token == getattr(tokenizer, "mask_token", None):
        return "<mask>"
    if merges is not None and token in merges.ids:
        return str(merges.ids[token])
    pattern, style = LANGUAGE.get(family.alphabet, ("(?!)", ""))
    match = re.fullmatch(pattern, token)
    if match is None:
        return token
    language = next(group for group in match.groups() if group)
    languages.append(language)
    return style.format(language)


def _check_symbols(symbols: Sequence[str], needs_mask: bool) -> None:
    twice = sorted(symbol for symbol, count in Counter(symbols).items() if count > 1)
    problems = Problems()
    problems.unless(not twice, f"dict.txt: expected each symbol once, got {_quoted(twice)} twice")
    broken = [symbol for symbol in symbols if "\n" in symbol or "\r" in symbol or not symbol]
    problems.unless(not broken, f"dict.txt: expected symbols of one line, got {_quoted(broken)}")
    problems.unless(
        not needs_mask or "<mask>" in symbols,
        "tokenizer: expected a mask token, which fairseq's masked_lm needs, got none",
    )
    problems.raise_if_any()


def class_problems(config: Config, architecture: str) -> Problems:
    """Collect why fairseq's `sentence_prediction` cannot have the classes of a configuration."""
    problems = Problems()
    if not architecture.endswith(CLASSIFIER):
        return problems
    names = class_names(config)
    expected = REGRESSION if len(names) == 1 else SINGLE_LABEL
    problems.unless(
        config.get("problem_type") in expected,
        f"problem_type: expected {' or '.join(map(repr, expected))} of {len(names)} outputs, got "
        f"{config.get('problem_type')!r}",
    )
    wrong = [n for i, n in enumerate(names) if not n.strip() or "\n" in n or n in names[:i]]
    wrong += [n for n in names if n in SPECIAL]
    problems.unless(
        not wrong or len(names) == 1,
        "id2label: expected names of one line, each once, that are not fairseq's own, got "
        f"{', '.join(map(repr, wrong))}",
    )
    return problems


def class_names(config: Config) -> list[str]:
    """Return the names of the classes in the order of the outputs."""
    labels = config["id2label"]
    return [str(labels[key]) for key in sorted(labels, key=int)]


def write_classes(config: Config, folder: Path) -> list[str]:
    """Write `label/dict.txt`, but for a regression; return flags of `sentence_prediction`."""
    names = class_names(config)
    flags = ["--num-classes", str(len(names)), "--init-token", "0"]
    if len(names) == 1:
        return [*flags, "--regression-target"]
    (folder / "label").mkdir()
    _write_dictionary(names, folder / "label" / "dict.txt")
    return flags


def with_classes(
    config: Mapping[str, Any], task: Any, tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Return a configuration with the classes that a classifier has in fairseq."""
    outputs = next((classes for classes, _ in heads_in(tensors).values()), 0)
    if not outputs:
        return dict(config)
    kept = {k: v for k, v in config.items() if k not in ("id2label", "label2id", "num_labels")}
    dictionary: Dictionary | None = getattr(task, "label_dictionary", None)
    names = dictionary.symbols[dictionary.nspecial :][:outputs] if dictionary else []
    if len(names) != outputs or outputs == 1:
        return {**kept, "num_labels": outputs}
    numbers = {name: i for i, name in enumerate(names)}
    return {**kept, "id2label": dict(enumerate(names)), "label2id": numbers}


def _write_dictionary(symbols: Iterable[str], path: Path) -> None:
    path.write_text("".join(f"{symbol} 1\n" for symbol in symbols), encoding="utf-8")


def _quoted(symbols: Sequence[str]) -> str:
    return ", ".join(map(repr, symbols[:5])) + (", ..." if len(symbols) > 5 else "")
