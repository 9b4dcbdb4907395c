"""The files that cut text into tokens: which tokens must stay, and how cut ones are spelled.

Text that contains a cut token is spelled with tokens that are kept, as the cut tokenizer does it
from the text: a sentence's tokens, joined, are its text, normalized.
"""

import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import sentencepiece
from fairseq.data.encoders.gpt2_bpe_utils import Encoder, get_encoder

from ..huggingface.conversion import ENCODING
from ..huggingface.tokenizers import PIECES, TARGET_PIECES
from ..json_files import read_json, value_as
from ..problems import as_value_error
from .sentencepiece_file import cut_pieces, encoding_as_it_is

BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # SentencePiece's, for characters that are no pieces
LONGEST_WORD = 100  # characters; BERT's tokenizer makes longer ones <unk>


class SubwordFiles(Protocol):
    """The files of one kind of tokenizer. Tokens are named as in the dictionary."""

    def required(self, used: Collection[str]) -> set[str]:
        """Return the names that must stay to spell any text made of `used`; some may not exist."""

    def parts(self, symbol: str) -> Sequence[str]:
        """Return the tokens that a token is merged from, which stay with it."""

    def write(self, cut: Collection[str], folder: Path) -> None:
        """Write the files without the tokens that are cut."""

    def is_text(self, symbol: str) -> bool:
        """Return true if a token that is not special stands for text."""

    def spell(self, symbols: Sequence[str]) -> list[str]:
        """Return the tokens that these files make of the text of `symbols`; for files as cut."""


class WholeWords:
    """No files: a cut token is `<unk>`."""

    def required(self, used: Collection[str]) -> set[str]:
        """Return nothing."""
        return set()

    def parts(self, symbol: str) -> Sequence[str]:
        """Return nothing."""
        return ()

    def write(self, cut: Collection[str], folder: Path) -> None:
        """Write nothing."""

    def is_text(self, symbol: str) -> bool:
        """Return false: no other token spells it."""
        return False

    def spell(self, symbols: Sequence[str]) -> list[str]:
        """Return the symbols."""
        return list(symbols)


class SentencePieces(WholeWords):
    """A SentencePiece model.

    Args:
        path: the model; name: that of the copy.
    Raises:
        ValueError: it cannot be read.
    """

    def __init__(self, path: Path, name: str = PIECES) -> None:
        self.name = name
        kinds = (OSError, RuntimeError, ValueError)
        with as_value_error(f"{path}: expected a SentencePiece model", kinds):
            self._model = path.read_bytes()
            own = encoding_as_it_is(self._model)
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=own)

    def required(self, used: Collection[str]) -> set[str]:
        """Return the characters, and all bytes."""
        return set("".join(used)) | {f"<0x{byte:02X}>" for byte in range(256)}

    def write(self, cut: Collection[str], folder: Path) -> None:
        """Write the model; see `cut_pieces`."""
        model = cut_pieces(self._model, lambda piece: piece not in cut)
        (folder / self.name).write_bytes(model)

    def is_text(self, symbol: str) -> bool:
        """Return true but for bytes."""
        return not BYTE.fullmatch(symbol)

    def spell(self, symbols: Sequence[str]) -> list[str]:
        """Encode the text; the name of an unknown character is itself."""
        pieces: list[str] = self._processor.encode("".join(symbols), out_type=str)
        return pieces


class WordPieces(WholeWords):
    """BERT's `vocab.txt`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with as_value_error(f"{path}: expected word pieces", (OSError, UnicodeDecodeError)):
            self._pieces = dict.fromkeys(path.read_text(encoding="utf-8").split("\n")[:-1])

    def required(self, used: Collection[str]) -> set[str]:
        """Return the characters, at the beginning of a word and inside."""
        letters = set("".join(symbol.removeprefix("##") for symbol in used))
        return letters | {f"##{letter}" for letter in letters}

    def write(self, cut: Collection[str], folder: Path) -> None:
        """Write the pieces, in their order."""
        text = "".join(f"{piece}\n" for piece in self._pieces if piece not in cut)
        (folder / self.path.name).write_text(text, encoding="utf-8")

    def is_text(self, symbol: str) -> bool:
        """Return true."""
        return True

    def spell(self, symbols: Sequence[str]) -> list[str]:
        """Cut every word again, from its longest piece on."""
        return [piece for word in _words(symbols) for piece in self._pieces_of(word)]

    def _pieces_of(self, word: str) -> list[str]:
        pieces, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self._pieces), 0)
            if not end or len(word) > LONGEST_WORD:
                return ["<unk>"]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces


def _words(symbols: Sequence[str]) -> Iterator[str]:
    """Yield the words of word pieces."""
    word = ""
    for symbol in symbols:
        if not symbol.startswith("##") or symbol == "##" or not word:
            if word:
                yield word
            word = ""
        word += symbol.removeprefix("##") if word else symbol
    if word:
        yield word


class ByteBpe(WholeWords):
    """fairseq's `encoder.json` and `vocab.bpe`: the dictionary names tokens by their numbers.

    A token that is merged from two others needs both, all the way down; `encoder.json` stays whole,
    as merges alone decide which tokens there are.
    """

    def __init__(self, ids: Path, merges: Path) -> None:
        self._files = ids, merges
        with as_value_error(f"{merges.parent}: expected {ids.name} and {merges.name} of a BPE"):
            self._encoder: Encoder = get_encoder(str(ids), str(merges))
        self._tokens = {str(number): token for token, number in self._encoder.encoder.items()}
        self._numbers = {token: number for number, token in self._tokens.items()}
        self._merges = {a + b: (a, b) for a, b in reversed(self._encoder.bpe_ranks)}

    def required(self, used: Collection[str]) -> set[str]:
        """Return all bytes."""
        return {self._numbers[letter] for letter in self._encoder.byte_decoder}

    def parts(self, symbol: str) -> Sequence[str]:
        """Return the two tokens that were merged."""
        pair = self._merges.get(self._tokens.get(symbol, ""), ())
        return [self._numbers[token] for token in pair]

    def write(self, cut: Collection[str], folder: Path) -> None:
        """Write `encoder.json` as it is, and the merges of tokens that are kept."""
        ids, merges = self._files
        shutil.copyfile(ids, folder / ids.name)
        lines = merges.read_text(encoding="utf-8").split("\n")
        kept = [line for line in lines if self._numbers.get(line.replace(" ", "")) not in cut]
        (folder / merges.name).write_text("\n".join(kept), encoding="utf-8")

    def is_text(self, symbol: str) -> bool:
        """Return true for numbers of tokens."""
        return symbol in self._tokens

    def spell(self, symbols: Sequence[str]) -> list[str]:
        """Encode the text."""
        return [str(i) for i in self._encoder.encode(self._encoder.decode(list(map(int, symbols))))]


def subword_files(place: Path | None) -> dict[str, SubwordFiles]:
    """Return the files of the source's and the target's tokenizer.

    Args:
        place: a SentencePiece model, or a folder of `lightpaff convert`; None: there is none.
    Raises:
        ValueError: they cannot be read, or are of another kind.
    """
    if place is None:
        return dict.fromkeys(("source", "target"), WholeWords())
    if place.is_file():
        return dict.fromkeys(("source", "target"), SentencePieces(place))
    path = place / ENCODING
    if not path.is_file():
        raise ValueError(f"{place}: expected a folder of lightpaff convert, got no {ENCODING}")
    flags = value_as(dict[str, str], read_json(path), str(path))
    source: SubwordFiles
    match flags.get("--bpe"):
        case "sentencepiece":
            source = SentencePieces(place / PIECES)
            if (place / TARGET_PIECES).is_file():
                target = SentencePieces(place / TARGET_PIECES, TARGET_PIECES)
                return {"source": source, "target": target}
        case "bert":
            source = WordPieces(place / str(flags.get("--bpe-vocab-file")))
        case "gpt2":
            names = (flags.get(f"--gpt2-{name}") for name in ("encoder-json", "vocab-bpe"))
            source = ByteBpe(*(place / str(name) for name in names))
        case kind:
            raise ValueError(f"{path}: --bpe {kind}: expected sentencepiece, bert or gpt2")
    return dict.fromkeys(("source", "target"), source)
