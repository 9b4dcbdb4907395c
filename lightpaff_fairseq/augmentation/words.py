"""Tell words from parts of words, by the symbols of a dictionary."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import Dictionary
from numpy.typing import NDArray

from ..json_files import read_json

SPECIAL = re.compile(r"<.*>|\[.+\]|madeupword\d+|__.*__")  # as BERT's [unused1]
Flags = NDArray[np.bool_]
Symbol = Callable[[str], tuple[str, bool, bool]]  # text, joined to the previous, to the next one


@dataclass(frozen=True)
class Words:
    """Properties of every symbol of a dictionary, `(V,)` each.

    Attributes:
        is_word: a whole word with a letter, which may be replaced, and may replace another one.
        continues: it is joined to the previous symbol; is_continued: to the next one.
        is_mark: it has neither letter nor digit, as a comma that is joined to a word.
    """

    is_word: Flags
    continues: Flags
    is_continued: Flags
    is_mark: Flags

    def positions(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions of the words of one symbol in `(S,)` tokens, eos included."""
        joined_after = np.zeros(len(tokens), dtype=np.bool_)  # by more than marks
        for i in range(len(tokens) - 2, -1, -1):
            following = tokens[i + 1]
            is_joined = self.continues[following]
            joined_after[i] = is_joined and (not self.is_mark[following] or joined_after[i + 1])
        joined_before = np.append(False, self.is_continued[tokens[:-1]])
        return np.flatnonzero(self.is_word[tokens] & ~joined_after & ~joined_before)


def words_of(dictionary: Dictionary, encoder_json: Path | None = None) -> Words:
    """Return the words of a dictionary.

    SentencePiece, WordPiece (`##ing`), subword-nmt (`ing@@`) and byte-level BPE are recognized;
    the symbols of any other dictionary are words.

    Args:
        encoder_json: fairseq's file for `--bpe gpt2`; None: symbols are text.
    Raises:
        ValueError: the symbols are numbers, and there is no such file; or it is another one.
    """
    ordinary = dictionary.symbols[dictionary.nspecial :]
    is_number = [symbol.isdigit() for symbol in ordinary]
    if encoder_json is not None:
        read = _byte_level(encoder_json)
    elif sum(is_number) > 0.9 * len(ordinary):
        raise ValueError(
            "--gpt2-encoder-json: expected fairseq's encoder.json, since the dictionary has the "
            "numbers of GPT-2's tokens, got none"
        )
    else:
        read = _reader(ordinary)
    rows = [read(symbol) for symbol in dictionary.symbols]
    is_word = [
        i >= dictionary.nspecial
        and not (SPECIAL.fullmatch(symbol) or continues or is_continued)
        and any(map(str.isalpha, text))
        for i, (symbol, (text, continues, is_continued)) in enumerate(
            zip(dictionary.symbols, rows, strict=True)
        )
    ]
    ordinary_row = np.arange(len(rows)) >= dictionary.nspecial
    continues, is_continued = (np.array([row[k] for row in rows]) & ordinary_row for k in (1, 2))
    is_mark = np.array([not any(map(str.isalnum, text)) for text, _, _ in rows])
    return Words(np.array(is_word), continues, is_continued, is_mark)


def _reader(symbols: list[str]) -> Symbol:
    if any(symbol.startswith("\u2581") for symbol in symbols):
        return lambda x: (x.removeprefix("\u2581"), not x.startswith("\u2581"), False)
    if any(symbol.endswith("@@") for symbol in symbols):
        return lambda x: (x.removesuffix("@@"), False, x.endswith("@@"))
    if any(symbol.startswith("##") and len(symbol) > 2 for symbol in symbols):
        return lambda x: (x.removeprefix("##"), x.startswith("##") and len(x) > 2, False)
    return lambda x: (x, False, False)


def _byte_level(path: Path) -> Symbol:
    """Return the reader of the numbers of a byte-level BPE; a space is `\u0120` there."""
    content: Any = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(i, int) for i in content.values()):
        raise ValueError(
            f"--gpt2-encoder-json {path}: expected fairseq's encoder.json, with a number per token"
        )
    tokens = {str(number): token for token, number in content.items()}

    def read(symbol: str) -> tuple[str, bool, bool]:
        token = tokens.get(symbol, "")
        return token.removeprefix("\u0120"), not token.startswith("\u0120"), False

    return read
