"""Cut what `lightpaff convert` keeps of a Hugging Face model, from which the model goes back.

The tokenizer is read with transformers, cut in the form of its `tokenizer.json`, and written so.
Whether transformers then reads text as fairseq does is tried before the folder appears.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..huggingface import from_fairseq
from ..huggingface.conversion import MODEL, ORIGIN, RECORD
from ..huggingface.hf_folder import load_tokenizer
from ..huggingface.text_back import compare_back
from ..json_files import read_json, value_as
from ..problems import as_value_error
from .cut_list import KeptTokens
from .sentencepiece_file import cut_pieces

TOKENIZER, SETTINGS, WORD_PIECES = "tokenizer.json", "tokenizer_config.json", "vocab.txt"
CONFIGS = ("config.json", "generation_config.json")
ADDED = "added_tokens_decoder"  # setting: id -> token
NOT_COPIED = (
    *(TOKENIZER, SETTINGS, WORD_PIECES, *CONFIGS, RECORD, "vocab.json", "merges.txt"),
    *("added_tokens.json", "*.model", "*.spm"),
)
TABLES = ("WordPiece", "BPE", "Unigram")  # models of tokenizers that can be cut

NewIds = dict[int, int]  # Hugging Face's id before -> after


def write_companion(origin: Path, kept: KeptTokens, folder: Path) -> None:
    """Write the files of a Hugging Face model with the tokens that are kept.

    Args:
        origin: the files of the whole model; folder: the folder of the trimmed model.
    Raises:
        ValueError: the tokenizer is of a kind that cannot be cut, or a special token was cut.
    """
    record = value_as(dict[str, Any], read_json(origin / RECORD), RECORD)
    ids = [record["order"][i] for i in kept.kept]
    new_ids = {old: new for new, old in enumerate(sorted(ids))}
    place = folder / ORIGIN
    skipped = shutil.ignore_patterns(*NOT_COPIED)(str(origin), [x.name for x in origin.iterdir()])
    shutil.copytree(origin, place, ignore=lambda x, _: skipped if x == str(origin) else ())
    state = json.loads(load_tokenizer(origin).backend_tokenizer.to_str())
    if state["model"]["type"] == "BPE" and any(origin.glob("*.model")):
        raise ValueError("a SentencePiece model of the type BPE keeps the pieces that are cut")
    _write(place / TOKENIZER, cut_tokenizer(state, new_ids))
    _write(place / RECORD, {**record, "order": [new_ids[i] for i in ids]})
    for name in (*CONFIGS, SETTINGS):
        if (origin / name).is_file():
            config = value_as(dict[str, Any], read_json(origin / name), name)
            _write(place / name, _renumbered(config, new_ids))
    if (origin / WORD_PIECES).is_file():
        pieces = (origin / WORD_PIECES).read_text(encoding="utf-8").split("\n")
        text = "".join(f"{x}\n" for i, x in enumerate(pieces) if i in new_ids)
        (place / WORD_PIECES).write_text(text, encoding="utf-8")
    for path in origin.glob("*.model"):
        model = cut_pieces(path.read_bytes(), lambda piece: piece not in kept.cut_symbols)
        (place / path.name).write_bytes(model)


def check_companion(folder: Path) -> None:
    """Convert a trimmed model back for a trial, and compare both from text.

    Raises:
        ValueError: transformers does not load it, or reads a text otherwise than fairseq.
    """
    with tempfile.TemporaryDirectory() as name, as_value_error("tried"):
        back = Path(name) / "hf"
        from_fairseq.write(folder / MODEL, folder, back)
        compare_back(folder / MODEL, folder, back).check()


def cut_tokenizer(state: dict[str, Any], new_ids: NewIds) -> dict[str, Any]:
    """Return a `tokenizer.json` with the tokens that are kept, renumbered.

    Merges of a BPE stay if both parts and their result do.

    Raises:
        ValueError: its model is of another kind, or its templates need a token that was cut.
    """
    model = dict(state["model"])
    if model["type"] not in TABLES:
        raise ValueError(f"tokenizer: expected one of {', '.join(TABLES)}, got {model['type']}")
    if model["type"] == "Unigram":
        model["vocab"] = [entry for i, entry in enumerate(model["vocab"]) if i in new_ids]
        model["unk_id"] = _new_id(model["unk_id"], new_ids, "unk_id")
    else:
        vocabulary = model["vocab"].items()
        model["vocab"] = {token: new_ids[i] for token, i in vocabulary if i in new_ids}
    if model["type"] == "BPE":
        known = model["vocab"]
        pairs = (x if isinstance(x, list) else x.split(" ") for x in model["merges"])
        model["merges"] = [[a, b] for a, b in pairs if {a, b, a + b} <= known.keys()]
    added = [token for token in state["added_tokens"] if token["id"] in new_ids]
    added = [{**token, "id": new_ids[token["id"]]} for token in added]
    cut = {**state, "model": model, "added_tokens": added}
    if state.get("padding"):
        pad = _new_id(state["padding"]["pad_id"], new_ids, "padding")
        cut["padding"] = {**state["padding"], "pad_id": pad}
    return {**cut, "post_processor": _processor(state["post_processor"], new_ids)}


def _processor(processor: Any, new_ids: NewIds) -> Any:
    """Renumber what a post-processor puts around a text."""
    if processor is None:
        return None
    new = dict(processor)
    if "processors" in processor:  # of a sequence
        new["processors"] = [_processor(part, new_ids) for part in processor["processors"]]
    for end in ("sep", "cls"):  # of BERT's and RoBERTa's
        if end in processor:
            token, i = processor[end]
            new[end] = [token, _new_id(i, new_ids, token)]
    if processor["type"] == "TemplateProcessing":
        new["special_tokens"] = {
            name: {**token, "ids": [_new_id(i, new_ids, name) for i in token["ids"]]}
            for name, token in processor["special_tokens"].items()
        }
    return new


def _renumbered(config: dict[str, Any], new_ids: NewIds) -> dict[str, Any]:
    """Return a configuration with the new size and the new ids of its special tokens."""
    new = dict(config)
    for name, value in config.items():
        if name.endswith("_token_id") and isinstance(value, int):
            new[name] = _new_id(value, new_ids, name)
        elif name.endswith("_token_id") and isinstance(value, list):
            new[name] = [_new_id(i, new_ids, name) for i in value]
    if "vocab_size" in config:
        new["vocab_size"] = len(new_ids)
    if ADDED in config:
        added = value_as(dict[str, Any], config[ADDED], ADDED)
        kept = {i: token for i, token in added.items() if int(i) in new_ids}
        new[ADDED] = {str(new_ids[int(i)]): token for i, token in kept.items()}
    return new


def _new_id(i: int, new_ids: NewIds, name: str) -> int:
    if i not in new_ids:
        raise ValueError(f"{name}: token {i}, which is needed, was cut")
    return new_ids[i]


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def origin_of(places: Sequence[Path | None]) -> Path | None:
    """Return the first folder of Hugging Face files in some places; None: there is none."""
    folders = [place / ORIGIN for place in places if place is not None and place.is_dir()]
    return next((folder for folder in folders if (folder / RECORD).is_file()), None)
