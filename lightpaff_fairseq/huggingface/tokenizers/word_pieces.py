"""BERT's word pieces in the file and with the flags that fairseq's `--bpe bert` reads."""

import json
from pathlib import Path
from typing import Any

# What fairseq's `--bpe bert` does besides: text cleaned, Chinese characters apart, accents taken
# off where letters become lower case.
EXPECTED: dict[str, dict[str, Any]] = {
    "model": {"type": "WordPiece", "continuing_subword_prefix": "##"},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True},
}


def check_word_pieces(tokenizer: Any) -> None:
    """Raises ValueError if fairseq's `--bpe bert` would give other pieces: all differences."""
    state = _state(tokenizer)
    problems = [
        f"{part}.{key}: expected {value}, found {(state[part] or {}).get(key)}"
        for part, values in EXPECTED.items()
        for key, value in values.items()
        if (state[part] or {}).get(key) != value
    ]
    lower, strip = ((state["normalizer"] or {}).get(key) for key in ("lowercase", "strip_accents"))
    if strip is not None and strip != bool(lower):
        problems.append(f"normalizer.strip_accents: expected {bool(lower)}, found {strip}")
    if problems:
        raise ValueError(f"tokenizer: fairseq's --bpe bert differs: {'; '.join(problems)}")


def write_word_pieces(tokenizer: Any, folder: Path) -> dict[str, str]:
    """Writes `vocab.txt`; returns {flag: value}."""
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    text = "".join(f"{token}\n" for token, _ in tokens)
    (folder / "vocab.txt").write_text(text, encoding="utf-8")
    flags = {"--bpe": "bert", "--bpe-vocab-file": "vocab.txt"}
    lower = _state(tokenizer)["normalizer"]["lowercase"]
    return flags if lower else {**flags, "--bpe-cased": ""}


def _state(tokenizer: Any) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError("tokenizer: expected BERT's word pieces, found one without a fast form")
    state: dict[str, Any] = json.loads(backend.to_str())
    return state
