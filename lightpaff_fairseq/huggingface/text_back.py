"""Compare what both systems make of a text, for a checkpoint written as a Hugging Face folder.

A model that came from Hugging Face gets its own tokenizer back; other ones get one that reads the
dictionary's tokens, separated by spaces, so that text is made of them.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fairseq.data import Dictionary

from ..checkpoints.building import value_of
from ..json_files import read_json
from ..problems import Problems
from . import fairseq_checkpoint
from .conversion import ENCODING
from .fairseq_checkpoint import FairseqModel
from .fairseq_text import SENTENCE_PREDICTION, FairseqText
from .hf_folder import load_tokenizer, transformers_package
from .hf_parity import Comparison, compare_logits
from .text_parity import SIDES, TEXTS, Readings, compare_pair, compare_texts
from .tokenizers import encoder

COMPARED = (
    "language_modeling", "masked_lm", "sentence_prediction", "translation",
    "translation_from_pretrained_bart", "translation_multi_simple_epoch",
)  # fmt: skip
LANGUAGES = ("langs", "lang_dict", "lang_pairs")  # flags of multilingual tasks
MASK = "<mask>"
UNKNOWN = "nobodyknowsthisword"
LIMITS = ("max_position_embeddings", "n_positions")
MOST_WORDS = 4  # small models take few tokens


def language_problem(source: FairseqModel) -> str | None:
    """Return a message for a multilingual checkpoint without its own tokenizer, else None."""
    task = str(value_of(source.cfg.task, "_name"))
    languages = [flag for flag in LANGUAGES if value_of(source.cfg.task, flag)]
    if source.origin is not None or not languages:
        return None
    return (
        f"--task {task}: a multilingual model needs the tokenizer that it came with, which puts "
        "languages around a text: expected the folder huggingface of lightpaff convert beside the "
        "checkpoint or in --data, got none"
    )


def compare_back(
    path: Path, data: Path | None, folder: Path, tokenizer: Path | None = None
) -> Comparison:
    """Compare a checkpoint with the Hugging Face folder that was made of it, starting from text.

    Args:
        path, data, tokenizer: as for `from_fairseq.write`; folder: what it wrote.
    Raises:
        ValueError: the tokenizer reads a text otherwise than fairseq's task: names the text and
            both readings.
    """
    source = fairseq_checkpoint.read(path, data, tokenizer)
    own = fairseq_checkpoint.build_model(source.cfg.model, source.task, source.tensors)
    config = read_json(folder / "config.json")
    hf_class = getattr(transformers_package(), config["architectures"][0])
    hf_model = hf_class.from_pretrained(folder, local_files_only=True).eval().float()
    readings = _read_on_both_sides(source, hf_model, folder)
    compared = compare_logits((own, hf_model), source.order, readings.pairs)
    return replace(compared, notes=readings.notes)


def _read_on_both_sides(source: FairseqModel, model: Any, folder: Path) -> Readings:
    """Give texts to both sides; none, with a note, where that is not possible."""
    task = str(value_of(source.cfg.task, "_name"))
    if task not in COMPARED:
        note = f"whether the tokenizer reads text as --task {task} does was not compared"
        return Readings(notes=[note])
    tokenizer, pair = load_tokenizer(folder), _pair(source.task)
    if hasattr(type(tokenizer), "src_lang") and all(pair):
        tokenizer.src_lang, tokenizer.tgt_lang = pair
    own = source.origin is not None and (source.origin.parent / ENCODING).is_file()
    encoders: dict[str, Any] = dict.fromkeys(SIDES, str)
    texts: Sequence[str] = [_sentence(source.task.source_dictionary, source.target)]
    if own and source.origin is not None:
        texts, encoders = (*TEXTS, "a"), {x: encoder(source.origin.parent, x) for x in SIDES}
    elif source.origin is not None:
        note = f"the text was not compared: there is no {ENCODING} beside {source.origin}"
        return Readings(notes=[note])
    texts = _fitting(texts, tokenizer, source.task, model)
    dictionaries = {"source": source.task.source_dictionary, "target": source.target}
    fairseq_text = FairseqText(source.cfg, source.data, dictionaries, encoders, source.order, pair)
    of_target = load_tokenizer(folder / "target") if (folder / "target").is_dir() else None
    readings = compare_texts(fairseq_text, model, tokenizer, texts, of_target)
    if task == SENTENCE_PREDICTION:
        try:
            compare_pair(fairseq_text, tokenizer, readings)
        except ValueError as error:  # single sentences may be all that the model was trained on
            readings.notes.append(f"do not give the model pairs of sentences: {error}")
    return readings


def _fitting(texts: Sequence[str], tokenizer: Any, task: Any, model: Any) -> list[str]:
    """Return the texts that are no longer than task and model take; the last, if none is."""
    limits = [value_of(_flags(task), "tokens_per_sample"), *map(model.config.to_dict().get, LIMITS)]
    longest = min(int(limit) for limit in limits if limit) - 2  # RoBERTa's first is number 2
    fitting = [text for text in texts if len(tokenizer(text).input_ids) <= longest]
    return fitting or [texts[-1]]


def _pair(task: Any) -> tuple[str, str]:
    """Return the languages of a task that was set up."""
    flags = _flags(task)
    pairs = value_of(flags, "lang_pairs") or "-"
    first = pairs.split(",")[0] if isinstance(pairs, str) else pairs[0]
    source, _, target = str(first).partition("-")
    one, two = (value_of(flags, f"{side}_lang") for side in SIDES)
    return str(one or source), str(two or target)


def _flags(task: Any) -> Any:
    """Return the flags of a task: those without a dataclass keep them as `args`."""
    return value_of(task, "args") or task.cfg


def _sentence(*dictionaries: Dictionary) -> str:
    """Return words that all dictionaries have, or none."""
    first = dictionaries[0].symbols[dictionaries[0].nspecial :]
    shared = [x for x in first if x.strip() and x != MASK and all(x in d for d in dictionaries)]
    Problems([None if shared else "the dictionaries share no word"]).raise_if_any()
    return " ".join([*shared[: MOST_WORDS - 1], UNKNOWN])
