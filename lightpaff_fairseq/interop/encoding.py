"""How text becomes a model's symbols: the tokenizer's files, for fairseq's own `--bpe`."""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairseq.data import encoders

from .family import Family
from .vocabulary import Vocabulary

PIECES = "sentencepiece.bpe.model"
SETTINGS = "encoding.json"
PIECE_FILES = (PIECES, "spiece.model", "sentencepiece.model", "source.spm")


def write_encoding(
    family: Family, vocabulary: Vocabulary, tokenizer: Any, source: Path, folder: Path
) -> str:
    """Writes the tokenizer's files and `encoding.json`.

    Returns:
        the flags for fairseq-interactive and the like.
    Raises:
        ValueError: the source lacks the file that fairseq's tokenizer reads.
    """
    if vocabulary.merges is not None:
        flags = {"--bpe": "gpt2", **vocabulary.merges.write(folder)}
    elif family.alphabet == "wordpiece":
        flags = _wordpiece(tokenizer, folder)
    else:
        flags = {"--bpe": "sentencepiece", "--sentencepiece-model": _pieces(source, folder)}
    (folder / SETTINGS).write_text(json.dumps(flags, indent=1), encoding="utf-8")
    return " ".join(f"{flag} {value}".strip() for flag, value in flags.items())


def _wordpiece(tokenizer: Any, folder: Path) -> dict[str, str]:
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    text = "".join(f"{token}\n" for token, _ in tokens)
    (folder / "vocab.txt").write_text(text, encoding="utf-8")
    flags = {"--bpe": "bert", "--bpe-vocab-file": "vocab.txt"}
    lower = json.loads(tokenizer.backend_tokenizer.to_str())["normalizer"] or {}
    return flags if lower.get("lowercase", False) else {**flags, "--bpe-cased": ""}


def _pieces(source: Path, folder: Path) -> str:
    found = next((source / name for name in PIECE_FILES if (source / name).is_file()), None)
    if found is None:
        raise ValueError(
            f"--from hf {source}: expected the SentencePiece model that fairseq encodes text "
            f"with ({', '.join(PIECE_FILES)}), found none"
        )
    shutil.copyfile(found, folder / PIECES)
    if (source / "target.spm").is_file():
        shutil.copyfile(source / "target.spm", folder / "target.spm")
    return PIECES


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
