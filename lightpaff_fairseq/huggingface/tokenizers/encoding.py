"""How text becomes a model's symbols: the tokenizer's files, for fairseq's own `--bpe`."""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairseq.data import encoders

from ..families.family import Family
from ..vocabulary import Vocabulary
from .sentencepiece_match import pieces_problem
from .word_pieces import check_word_pieces, write_word_pieces

PIECES = "sentencepiece.bpe.model"
SETTINGS = "encoding.json"
PIECE_FILES = (PIECES, "spiece.model", "sentencepiece.model", "source.spm")


def check_encoding(family: Family, vocabulary: Vocabulary, tokenizer: Any, source: Path) -> None:
    """Checks that fairseq's own `--bpe` gives the symbols that the tokenizer gives.

    Raises:
        ValueError: the source lacks the file that it reads, or it cuts text otherwise; of a
            byte-level BPE `read_vocabulary` has seen to that.
    """
    if family.alphabet == "wordpiece":
        check_word_pieces(tokenizer)
    elif vocabulary.merges is None:
        path = _pieces_file(source)
        problem = pieces_problem(path, vocabulary.symbols)
        if problem:
            raise ValueError(f"{path.name}: {problem}")


def write_encoding(
    family: Family, vocabulary: Vocabulary, tokenizer: Any, source: Path, folder: Path
) -> str:
    """Writes the tokenizer's files and `encoding.json`.

    Returns:
        the flags for fairseq-interactive and the like.
    """
    if vocabulary.merges is not None:
        flags = {"--bpe": "gpt2", **vocabulary.merges.write(folder)}
    elif family.alphabet == "wordpiece":
        flags = write_word_pieces(tokenizer, folder)
    else:
        flags = {"--bpe": "sentencepiece", "--sentencepiece-model": PIECES}
        shutil.copyfile(_pieces_file(source), folder / PIECES)
        if (source / "target.spm").is_file():
            shutil.copyfile(source / "target.spm", folder / "target.spm")
    (folder / SETTINGS).write_text(json.dumps(flags, indent=1), encoding="utf-8")
    return " ".join(f"{flag} {value}".strip() for flag, value in flags.items())


def _pieces_file(source: Path) -> Path:
    found = next((source / name for name in PIECE_FILES if (source / name).is_file()), None)
    if found is None:
        raise ValueError(
            "expected the SentencePiece model that fairseq encodes text with "
            f"({', '.join(PIECE_FILES)}), found none"
        )
    return found


def encoder(folder: Path) -> Callable[[str], str]:
    """The function text -> symbols separated by spaces, of a converted folder.

    Raises:
        ValueError: the folder has no `encoding.json`.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise ValueError(
            f"--data {folder}: expected a folder of lightpaff convert, found no {SETTINGS}"
        )
    values: dict[str, Any] = {"bpe_cased": False}
    for flag, value in json.loads(path.read_text(encoding="utf-8")).items():
        name = flag.removeprefix("--").replace("-", "_")
        values[name] = str(folder / value) if (folder / value).is_file() else value or True
    values |= {"sentencepiece_enable_sampling": False, "sentencepiece_alpha": None}
    encode: Callable[[str], str] = encoders.build_bpe(argparse.Namespace(**values)).encode
    return encode
