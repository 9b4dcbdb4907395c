"""fairseq's dictionary of a Hugging Face tokenizer: the same tokens, in fairseq's order.

fairseq puts `<s> <pad> </s> <unk>` in rows 0 to 3, always. The tokenizer's counterparts move
there and all other tokens keep their order, so the table of embeddings is only permuted. GPT-2 has
one special token, its `</s>`. The other rows get byte tokens that no valid UTF-8 text can contain
(0xC0, 0xC1, 0xF5), so no token is lost, none is added, and probabilities stay what they were.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode

from .families.family import Config, Family
from .tokenizers.byte_bpe import Merges, read_merges

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
ROLES = (("cls_token", "bos_token"), ("pad_token",), ("eos_token", "sep_token"), ("unk_token",))
NEVER_IN_UTF8 = (0xC0, 0xC1, 0xF5)
MOST_FILLERS = 127  # vocabularies are rounded up to multiples of at most 128
LANGUAGE = {  # alphabet: (a language token, fairseq's name of it)
    "mbart": (r"([a-z]{2,3}_[A-Z]{2})", "[{}]"),
    "multilingual": (r"(?:__([a-z]{2,3})__|([a-z]{3}_[A-Z][a-z]{3}))", "__{}__"),
}


@dataclass(frozen=True)
class Vocabulary:
    """A dictionary and where its rows come from.

    Attributes:
        symbols: all symbols, fairseq's four first.
        order: the Hugging Face id of each; one beyond the table stands for a new row.
        languages: as `--langs` wants them.
        merges: of a byte-level BPE.
    """

    symbols: list[str]
    order: list[int]
    languages: list[str] = field(default_factory=list)
    merges: Merges | None = None

    def write(self, path: Path) -> None:
        """Writes `dict.txt`: all but the first four symbols, which fairseq adds by itself."""
        text = "".join(f"{symbol} 1\n" for symbol in self.symbols[len(SPECIAL) :])
        path.write_text(text, encoding="utf-8")


def read_vocabulary(tokenizer: Any, config: Config, family: Family) -> Vocabulary:
    """The dictionary of a tokenizer.

    Args:
        tokenizer: of transformers.
    Raises:
        ValueError: it has tokens beyond the model's table or far too few, or lacks what fairseq
            needs: all at once.
    """
    size = int(config["vocab_size"])
    named = {**tokenizer.get_vocab(), **getattr(tokenizer, "lang_token_to_id", {})}
    tokens = {int(i): str(token) for token, i in sorted(named.items(), key=lambda item: item[1])}
    problems = _size_problems(tokens, size)
    merges = read_merges(tokenizer) if family.alphabet == "gpt2" else None
    special = _special_ids(tokenizer, {t: i for i, t in tokens.items()}, family)
    if family.alphabet == "marian":
        special[0] = size  # a row of its own, see `marian`
    ids = dict(zip(SPECIAL, special, strict=True))
    lacking = [name for name, i in ids.items() if i is None]
    if lacking:
        problems.append(f"the tokenizer has no counterpart of {', '.join(lacking)}")
    shared = [name for name, i in ids.items() if i is not None and special.count(i) > 1]
    if shared:
        problems.append(f"the tokenizer has one token for {' and '.join(shared)}")
    if problems:
        raise ValueError("; ".join(problems))
    order = [i for i in special if i is not None]
    order += [i for i in range(size) if i not in set(order)]
    languages: list[str] = []
    names = {i: _symbol(token, tokenizer, family, merges, languages) for i, token in tokens.items()}
    rest = [names.get(i, f"madeupword{i}") for i in order[len(SPECIAL) :]]
    symbols = [*SPECIAL, *rest]
    _check_symbols(symbols, needs_mask=family.task == "masked_lm")
    return Vocabulary(symbols, order, languages, merges)


def _size_problems(tokens: Mapping[int, str], size: int) -> list[str]:
    beyond = sorted(token for i, token in tokens.items() if i >= size)
    missing = size - (len(tokens) - len(beyond))
    problems = []
    if beyond:
        problems.append(
            f"the tokenizer has {len(beyond)} tokens beyond the model's table of {size}: "
            f"{', '.join(map(repr, beyond[:5]))}{', ...' if len(beyond) > 5 else ''}"
        )
    if missing > MOST_FILLERS:
        problems.append(
            f"vocab_size: expected the tokenizer's {len(tokens)} tokens and at most "
            f"{MOST_FILLERS} fillers, found {size}"
        )
    return problems


def _special_ids(tokenizer: Any, ids: Mapping[str, int], family: Family) -> list[int | None]:
    """The ids that become `<s> <pad> </s> <unk>`; None where there is no such token."""
    names = [_role(tokenizer, role) for role in ROLES]
    if family.model_type == "gpt2":
        letters = bytes_to_unicode()
        spare, taken = iter(letters[byte] for byte in NEVER_IN_UTF8), {names[2], None}
        for i in (0, 1, 3):
            names[i] = next(spare) if names[i] in taken else names[i]
            taken.add(names[i])
    return [ids.get(name) if name is not None else None for name in names]


def _role(tokenizer: Any, attributes: tuple[str, ...]) -> str | None:
    values = (getattr(tokenizer, name, None) for name in attributes)
    return next((str(value) for value in values if value is not None), None)


def _symbol(
    token: str, tokenizer: Any, family: Family, merges: Merges | None, languages: list[str]
) -> str:
    """fairseq's name of a token; notes down languages."""
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


def _check_symbols(symbols: list[str], needs_mask: bool) -> None:
    seen: set[str] = set()
    twice = sorted({s for s in symbols if s in seen or seen.add(s)})  # type: ignore[func-returns-value]
    problems = []
    if twice:
        problems.append(f"two tokens would be the symbol {', '.join(map(repr, twice[:5]))}")
    broken = [s for s in symbols if "\n" in s or "\r" in s or not s]
    if broken:
        problems.append(f"no line of dict.txt can hold {', '.join(map(repr, broken[:5]))}")
    if needs_mask and "<mask>" not in seen:
        problems.append("the tokenizer has no mask token, which fairseq's masked_lm needs")
    if problems:
        raise ValueError("; ".join(problems))
