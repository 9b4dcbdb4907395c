"""How an exported encoder's or decoder's text becomes tokens: in fairseq, and in its use.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq.data.encoders.sentencepiece_bpe import SentencepieceBPE, SentencepieceConfig

from ..huggingface.conversion import ENCODING
from ..huggingface.tokenizers import PIECES, encoder
from ..json_files import read_json, value_as
from ..problems import as_value_error

WORDS, SENTENCEPIECE, WORDPIECE, BYTES = "words", "sentencepiece", "wordpiece", "bytes"
MODEL = "sentencepiece.model"  # in an exported folder
PACKAGES = {WORDS: (), SENTENCEPIECE: ("sentencepiece",), WORDPIECE: ("tokenizers",)}
PACKAGES[BYTES] = PACKAGES[WORDPIECE]


@dataclass(frozen=True)
class TextCodec:
    """A tokenizer.

    Attributes:
        kind: `words` (tokens separated by spaces), `sentencepiece`, `wordpiece` or `bytes`.
        encode: text -> tokens separated by spaces, in fairseq; decode: tokens -> text.
        files: name in an exported folder -> file.
        cased: of `wordpiece`: keeps upper case.
    """

    kind: str = WORDS
    encode: Callable[[str], str] = str
    decode: Callable[[list[str]], str] = " ".join
    files: Mapping[str, Path] = field(default_factory=dict)
    cased: bool = False


def pieces_codec(path: Path) -> TextCodec:
    """Return the codec of a SentencePiece model."""
    bpe: Any = SentencepieceBPE(SentencepieceConfig(sentencepiece_model=str(path)))
    return TextCodec(SENTENCEPIECE, bpe.encode, bpe.sp.decode, {MODEL: path})


def folder_codec(folder: Path) -> TextCodec:
    """Return the codec of a folder of `lightpaff convert` or `trim-vocab`.

    Raises:
        ValueError: a file is missing or corrupt.
    """
    with as_value_error(f"--tokenizer {folder}: expected a folder of lightpaff convert"):
        return _folder_codec(folder)


def _folder_codec(folder: Path) -> TextCodec:
    flags = value_as(dict[str, str], read_json(folder / ENCODING), str(folder / ENCODING))
    if flags.get("--bpe") == "sentencepiece":
        return pieces_codec(folder / PIECES)
    encode = encoder(folder)
    if flags.get("--bpe") == "bert":
        name = str(flags["--bpe-vocab-file"])
        return TextCodec(
            WORDPIECE, encode, _join_word_pieces, {name: folder / name}, "--bpe-cased" in flags
        )
    names = [str(flags[f"--gpt2-{name}"]) for name in ("encoder-json", "vocab-bpe")]
    files = {name: folder / name for name in names}
    return TextCodec(BYTES, encode, _byte_decoder(files), files)


def _join_word_pieces(tokens: list[str]) -> str:
    return " ".join(tokens).replace(" ##", "")


def _byte_decoder(files: Mapping[str, Path]) -> Callable[[list[str]], str]:
    from fairseq.data.encoders.gpt2_bpe_utils import get_encoder

    bpe: Any = get_encoder(*map(str, files.values()))
    return lambda tokens: str(bpe.decode([int(x) for x in tokens if x.isdecimal()]))
