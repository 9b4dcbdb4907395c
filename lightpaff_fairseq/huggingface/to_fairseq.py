"""A Hugging Face folder becomes a fairseq checkpoint with its dictionary and tokenizer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.output_folder import OutputFolder, new_folder
from . import fairseq_checkpoint as checkpoint
from . import labels
from .families import bert
from .families.family import Family, Wanted
from .families.registry import find_family
from .hf_folder import (
    Source,
    check_weights,
    copy_side_files,
    full_config,
    load_source,
    load_tokenizer,
    read_config,
)
from .hf_parity import TOLERANCE, largest_logit_difference
from .naming import about
from .tables import Row, expand, to_fairseq
from .tokenizers.encoding import SETTINGS, check_encoding, write_encoding
from .vocabulary import Vocabulary, read_vocabulary

MODEL, ORIGIN, RECORD = "model.pt", "huggingface", "lightpaff.json"
MARKS = (SETTINGS, RECORD)  # one of them is in every folder that is written


@dataclass(frozen=True)
class Conversion:
    """What to convert; the names are those of the flags of `lightpaff convert`.

    Attributes:
        languages: `(source, target)`, for models of two languages.
    """

    source: Path
    out: Path
    segment: int | None = None
    languages: tuple[str, str] = ("source", "target")
    overwrite: bool = False


@dataclass(frozen=True)
class Converted:
    """What came out.

    Attributes:
        flags: of fairseq-train, to go on with this model.
        encoding: how text becomes the model's symbols.
        difference: the largest difference of a logit; None: there was no model to compare with.
        notes: what the user should know.
    """

    flags: list[str]
    encoding: str
    difference: float | None
    notes: list[str] = field(default_factory=list)


def convert(wanted: Conversion) -> Converted:
    """Converts one folder; the output folder appears when everything in it was verified.

    Raises:
        ValueError: bad input, see the functions of this package; nothing was written then.
    """
    OutputFolder(wanted.out, "--to fairseq", MARKS, [wanted.source]).check(wanted.overwrite)
    with about(f"--from hf {wanted.source}"):
        return _convert(wanted)


def _convert(wanted: Conversion) -> Converted:
    family, architecture = find_family(read_config(wanted.source))
    full = full_config(wanted.source, architecture)
    problems = family.problems(full, Wanted(wanted.segment)) + labels.problems(full, architecture)
    if problems:
        raise ValueError("; ".join(problems))
    check_weights(wanted.source)
    tokenizer = load_tokenizer(wanted.source)
    vocabulary = read_vocabulary(tokenizer, full, family)
    _check_languages(wanted.languages, vocabulary.languages)
    check_encoding(family, vocabulary, tokenizer, wanted.source)
    order = torch.tensor(vocabulary.order)
    rows = expand(family.rows(full, order, architecture), family.layers(full))
    source = load_source(wanted.source, family, architecture, {r.theirs for r in rows})
    with new_folder(wanted.out) as folder:
        return _write(wanted, family, source, (vocabulary, rows, tokenizer), folder)


def _check_languages(wanted: tuple[str, str], known: Sequence[str]) -> None:
    unknown = [language for language in wanted if known and language not in known]
    if unknown:
        raise ValueError(
            f"--langs: expected two languages of the model ({', '.join(known)}), found "
            f"{', '.join(unknown)}"
        )


def _write(
    wanted: Conversion,
    family: Family,
    source: Source,
    parts: tuple[Vocabulary, list[Row], Any],
    folder: Path,
) -> Converted:
    vocabulary, rows, tokenizer = parts
    notes: list[str] = []
    if source.dtype != "float32":
        notes.append(f"the weights were {source.dtype} and are float32 now")
    task_name, task_flags = _task(wanted, family, source, vocabulary, folder)
    encoding = write_encoding(family, vocabulary, tokenizer, wanted.source, folder)
    flags = [*family.flags(source.config), *task_flags]
    tensors = to_fairseq(rows, _prepared(wanted, family, source))
    tensors = _with_mlm_head(tensors, "--untie-weights-roberta" in flags, notes)
    cfg = checkpoint.parse(str(wanted.out), task_name, flags)
    task = checkpoint.set_up(cfg, folder)
    tensors = checkpoint.complete(cfg, task, tensors)
    checkpoint.write(cfg, task, tensors, folder / MODEL)
    difference = largest_logit_difference(folder, source, vocabulary.order, wanted.segment)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"the converted model differs: a logit by {difference:.2g} (at most {TOLERANCE} "
            "expected); nothing was written"
        )
    copy_side_files(wanted.source, folder / ORIGIN)
    record = {
        "format": 1,
        "model_type": family.model_type,
        "architecture": source.architecture,
        "dtype": source.dtype,
        "order": vocabulary.order,
        "segment": wanted.segment,
        "encoding": encoding,
    }
    (folder / ORIGIN / RECORD).write_text(json.dumps(record), encoding="utf-8")
    return Converted(["--task", task_name, *flags], encoding, difference, notes)


def _prepared(wanted: Conversion, family: Family, source: Source) -> dict[str, Tensor]:
    state = source.state
    if family.prepare is None:
        return state
    if wanted.segment:
        return bert.fold_segment(source.config, state, wanted.segment)
    return family.prepare(source.config, state)


def _task(
    wanted: Conversion, family: Family, source: Source, vocabulary: Vocabulary, folder: Path
) -> tuple[str, list[str]]:
    """fairseq's task with its flags; writes the dictionaries where it looks for them."""
    names = ["dict.txt"]
    task, flags = family.task, []
    one, two = wanted.languages
    if source.architecture.endswith(labels.SUFFIX):
        task, flags = "sentence_prediction", labels.task_flags(source.config, folder)
        names.append("input0/dict.txt")
    elif task == "masked_lm":
        flags = ["--tokens-per-sample", str(bert.positions(source.config))]
    elif task == "translation_multi_simple_epoch":
        flags = ["--langs", ",".join(vocabulary.languages), "--lang-pairs", f"{one}-{two}"]
        flags += ["--encoder-langtok", "src", "--decoder-langtok"]
    elif task.startswith("translation"):
        flags = ["--source-lang", one, "--target-lang", two]
    if task == "translation_from_pretrained_bart":
        flags += ["--langs", ",".join(vocabulary.languages)]
    if task.startswith("translation"):
        names += [f"dict.{one}.txt", f"dict.{two}.txt"]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        vocabulary.write(folder / name)
    return task, flags


def _with_mlm_head(tensors: dict[str, Tensor], untied: bool, notes: list[str]) -> dict[str, Tensor]:
    """A classifier's masked-LM head, which fairseq's model cannot be without."""
    words = tensors.get("encoder.sentence_encoder.embed_tokens.weight")
    if words is None or "encoder.lm_head.weight" in tensors:
        return tensors
    notes.append("the classifier has no masked-LM head: fairseq's is an untrained one")
    size, width = words.shape
    head = {
        "dense.weight": torch.eye(width, dtype=words.dtype),
        "dense.bias": words.new_zeros(width),
        "layer_norm.weight": words.new_ones(width),
        "layer_norm.bias": words.new_zeros(width),
        "weight": words.clone() if untied else words,
        "bias": words.new_zeros(size),
    }
    return {**tensors, **{f"encoder.lm_head.{name}": x for name, x in head.items()}}
