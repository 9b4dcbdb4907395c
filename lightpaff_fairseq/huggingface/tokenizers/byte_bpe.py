"""A byte-level BPE in the two files that fairseq's `--bpe gpt2` reads.

fairseq's dictionary names a token by its number in OpenAI's `encoder.json`, which follows from the
merges alone: the 256 bytes, then one token a merge. So the official `dict.txt` of RoBERTa and BART
comes out, without that file.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode

END = "<|endoftext|>"  # the last token of OpenAI's file


@dataclass(frozen=True)
class Merges:
    """Merges of a byte-level BPE in their order, and the number of every token."""

    pairs: list[tuple[str, str]]
    ids: dict[str, int]

    def write(self, folder: Path) -> dict[str, str]:
        """Writes `encoder.json` and `vocab.bpe`; returns {flag: file}."""
        text = "".join(f"{a} {b}\n" for a, b in self.pairs)
        (folder / "vocab.bpe").write_text(f"#version: 0.2\n{text}", encoding="utf-8")
        (folder / "encoder.json").write_text(json.dumps(self.ids), encoding="utf-8")
        return {"--gpt2-encoder-json": "encoder.json", "--gpt2-vocab-bpe": "vocab.bpe"}


def read_merges(tokenizer: Any) -> Merges:
    """The merges of a tokenizer of transformers.

    Raises:
        ValueError: it is not the byte-level BPE that fairseq's `--bpe gpt2` computes.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError("tokenizer: expected a byte-level BPE, found one without a fast form")
    state = json.loads(backend.to_str())
    model, split = state["model"], state["pre_tokenizer"] or {}
    problems = []
    if model["type"] != "BPE":
        problems.append(f"model: expected BPE, found {model['type']}")
    if split.get("type") != "ByteLevel":
        problems.append(f"pre_tokenizer: expected ByteLevel, found {split.get('type')}")
    if split.get("add_prefix_space"):
        problems.append("add_prefix_space: expected False, found True")
    if state.get("normalizer") is not None:
        problems.append(f"normalizer: expected none, found {state['normalizer'].get('type')}")
    if problems:
        raise ValueError(f"tokenizer: fairseq's --bpe gpt2 differs: {'; '.join(problems)}")
    pairs = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    tokens = [*bytes_to_unicode().values(), *(a + b for a, b in pairs), END]
    ids: dict[str, int] = {}
    for number, token in enumerate(tokens):
        ids.setdefault(token, number)
    return Merges(pairs, ids)
