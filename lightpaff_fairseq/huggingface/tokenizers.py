"""Turn text into a model's tokens: a Hugging Face tokenizer as fairseq's `--bpe`, and back.

fairseq's dictionary names a token of a byte-level BPE by its number in OpenAI's `encoder.json`,
which follows from the merges alone: the 256 bytes, then one token per merge. So the official
`dict.txt` of RoBERTa and BART comes out, without that file.
"""

import argparse
import json
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
from fairseq.data import Dictionary, encoders
from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode

from ..json_files import read_json, value_as
from ..problems import Problems, as_value_error
from .conversion import ENCODING
from .hf_folder import transformers_package

END = "<|endoftext|>"  # the last token of OpenAI's file
PIECES, TARGET_PIECES = "sentencepiece.bpe.model", "target.spm"  # Marian has the second
PIECE_FILES = (PIECES, "spiece.model", "sentencepiece.model", "source.spm")
# What a tokenizer must do to equal fairseq's `--bpe`: part -> setting -> value.
BYTE_BPE: dict[str, dict[str, Any]] = {
    "model": {"type": "BPE"},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
    "normalizer": {"type": None},
}
WORD_PIECES: dict[str, dict[str, Any]] = {
    "model": {"type": "WordPiece", "continuing_subword_prefix": "##"},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True},
}
ROLES = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
ENDS = {"roberta": "<s> $A </s>", "gpt2": "</s> $A"}  # fairseq's language models start with </s>


@dataclass(frozen=True)
class Merges:
    """Merges of a byte-level BPE in their order, and the number of every token."""

    pairs: list[tuple[str, str]]
    ids: dict[str, int]


def read_merges(tokenizer: Any) -> Merges:
    """Read the merges of a transformers tokenizer.

    Raises:
        ValueError: it is not the byte-level BPE that fairseq's `--bpe gpt2` computes.
    """
    _check_settings(tokenizer, "gpt2", BYTE_BPE)
    model = _fast_state(tokenizer)["model"]
    pairs = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    tokens = [*bytes_to_unicode().values(), *(a + b for a, b in pairs), END]
    ids: dict[str, int] = {}
    for number, token in enumerate(tokens):
        ids.setdefault(token, number)
    return Merges(pairs, ids)


def check_word_pieces(tokenizer: Any) -> None:
    """Check that fairseq's `--bpe bert` gives the same pieces.

    Raises:
        ValueError: all differences.
    """
    normalizer = _fast_state(tokenizer)["normalizer"] or {}
    lower = bool(normalizer.get("lowercase"))  # accents are taken off with it, None: as it
    accents = {"strip_accents": lower} if normalizer.get("strip_accents") is not None else {}
    expected = {**WORD_PIECES, "normalizer": {**WORD_PIECES["normalizer"], **accents}}
    _check_settings(tokenizer, "bert", expected)


def pieces_problem(path: Path, symbols: Collection[str]) -> str | None:
    """Return why a SentencePiece model cannot encode text for a dictionary; or None.

    A dictionary may lack pieces that were rare in its text, so half of them are enough; of the
    pieces of another language's model it has far fewer.

    Args:
        path: the model.
        symbols: those of the dictionary.
    """
    try:
        model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        return f"expected a SentencePiece model, got {type(error).__name__} on reading it"
    ids = range(model.get_piece_size())
    special = (model.is_control, model.is_unknown, model.is_unused, model.is_byte)
    pieces = [model.id_to_piece(i) for i in ids if not any(kind(i) for kind in special)]
    known = set(symbols)
    count = sum(piece in known for piece in pieces)
    if 2 * count >= len(pieces):
        return None
    return f"expected the dictionary's own pieces, got {count} of its {len(pieces)} in it"


def check_pieces(source: Path, symbols: Collection[str]) -> None:
    """Check the SentencePiece model of a Hugging Face folder.

    Raises:
        ValueError: there is none, or it does not fit the dictionary.
    """
    path = _pieces_file(source)
    problem = pieces_problem(path, symbols)
    if problem:
        raise ValueError(f"{path.name}: {problem}")


def write_merges(merges: Merges, folder: Path) -> dict[str, str]:
    """Write `encoder.json` and `vocab.bpe`; return {flag: value}."""
    text = "".join(f"{a} {b}\n" for a, b in merges.pairs)
    (folder / "vocab.bpe").write_text(f"#version: 0.2\n{text}", encoding="utf-8")
    (folder / "encoder.json").write_text(json.dumps(merges.ids), encoding="utf-8")
    files = {"--gpt2-encoder-json": "encoder.json", "--gpt2-vocab-bpe": "vocab.bpe"}
    return {"--bpe": "gpt2", **files}


def write_word_pieces(pieces: Collection[str], folder: Path, cased: bool = False) -> dict[str, str]:
    """Write `vocab.txt`; return {flag: value}."""
    text = "".join(f"{piece}\n" for piece in pieces)
    (folder / "vocab.txt").write_text(text, encoding="utf-8")
    flags = {"--bpe": "bert", "--bpe-vocab-file": "vocab.txt"}
    return {**flags, "--bpe-cased": ""} if cased else flags


def write_pieces(source: Path, folder: Path) -> dict[str, str]:
    """Copy the SentencePiece model; return {flag: value}."""
    shutil.copyfile(_pieces_file(source), folder / PIECES)
    if (source / TARGET_PIECES).is_file():
        shutil.copyfile(source / TARGET_PIECES, folder / TARGET_PIECES)
    return {"--bpe": "sentencepiece", "--sentencepiece-model": PIECES}


def write_encoding(flags: dict[str, str], folder: Path, prefix: str = "") -> str:
    """Write `encoding.json`; return the flags for fairseq-interactive and the like.

    Args:
        prefix: what stands in front of every encoded text, and fairseq's task does not add.
    """
    record = {**flags, "prefix": prefix} if prefix else flags
    (folder / ENCODING).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return " ".join(f"{flag} {value}".strip() for flag, value in flags.items())


def encoder(folder: Path, side: str = "source") -> Callable[[str], str]:
    """Return the function text -> tokens separated by spaces, of a converted folder.

    Args:
        side: source or target, which Marian cuts otherwise.
    Raises:
        ValueError: the folder has no `encoding.json`, or the files that it names cannot be read.
    """
    path = folder / ENCODING
    if not path.is_file():
        raise ValueError(
            f"--model {folder}: expected a folder of lightpaff convert, got no {ENCODING}"
        )
    flags = value_as(dict[str, str], read_json(path), str(path))
    prefix = flags.pop("prefix", "")
    if side == "target" and (folder / TARGET_PIECES).is_file():
        flags["--sentencepiece-model"] = TARGET_PIECES
    values: dict[str, Any] = {"bpe_cased": False}
    for flag, value in flags.items():
        name = flag.removeprefix("--").replace("-", "_")
        values[name] = str(folder / value) if (folder / value).is_file() else value or True
    values |= {"sentencepiece_enable_sampling": False, "sentencepiece_alpha": None}
    with as_value_error(f"{folder}: expected the tokenizer's files that {ENCODING} names"):
        bpe = encoders.build_bpe(argparse.Namespace(**values))
    return lambda text: f"{prefix} {bpe.encode(text)}".lstrip(" ")


def write_hf_tokenizer(
    dictionary: Dictionary, model_type: str, folder: Path, pair: str | None = None
) -> None:
    """Write a transformers tokenizer that reads tokens separated by spaces, as fairseq does.

    It has the dictionary's numbers and adds what fairseq's tasks add. It does not split words: as
    for fairseq, the text is encoded into tokens before.

    Args:
        pair: template of two sentences; None: the model reads none.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {symbol: i for i, symbol in enumerate(dictionary.symbols)}
    backend: Any = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single=ENDS.get(model_type, "$A </s>"),
        pair=pair or "$A $B",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    special = ROLES | ({"mask_token": "<mask>"} if "<mask>" in vocabulary else {})
    tokenizer = transformers_package().PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    tokenizer.save_pretrained(folder)


def is_cased(tokenizer: Any) -> bool:
    """Tell whether word pieces keep upper case."""
    return not _fast_state(tokenizer)["normalizer"]["lowercase"]


def _fast_state(tokenizer: Any) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError("tokenizer: expected one with a fast form, got one without")
    state: dict[str, Any] = json.loads(backend.to_str())
    return state


def _check_settings(tokenizer: Any, bpe: str, expected: dict[str, dict[str, Any]]) -> None:
    state, problems = _fast_state(tokenizer), Problems()
    for part, settings in expected.items():
        for key, value in settings.items():
            got = (state[part] or {}).get(key)
            problems.unless(got == value, f"{part}.{key}: expected {value}, got {got}")
    problems.raise_if_any(f"tokenizer: fairseq's --bpe {bpe} differs: ")


def _pieces_file(source: Path) -> Path:
    path = next((source / name for name in PIECE_FILES if (source / name).is_file()), None)
    if path is None:
        raise ValueError(
            "expected the SentencePiece model that fairseq encodes text with "
            f"({', '.join(PIECE_FILES)}), got none"
        )
    return path
