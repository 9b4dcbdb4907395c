"""Convert a Hugging Face folder to a fairseq checkpoint with its dictionary and tokenizer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.output_folder import OutputFolder, new_folder
from ..models.untrained_head import PREFIX as HEAD_PREFIX
from ..models.untrained_head import untrained_head
from ..problems import prefix_errors
from . import fairseq_checkpoint, hf_folder, hf_parity, hf_weights, text_parity, tokenizers
from . import sentence_transformers as around
from .conversion import MARKS, MODEL, ORIGIN, RECORD, Conversion, Converted
from .families import bert
from .families.bert import FOLDED
from .families.family import Config, Family
from .families.foreign import foreign_reasons
from .families.registry import CLASSIFIER, find_class, find_family
from .sentence_pairs import separators
from .tables import Row, to_fairseq_state
from .vocabulary import Vocabulary, class_problems, read_vocabulary, write_classes

MBART, MULTILINGUAL = "translation_from_pretrained_bart", "translation_multi_simple_epoch"
WORDS = f"{bert.ENCODER}.embed_tokens.weight"
NO_HEAD = (
    "the weights have no masked-LM head: fairseq's is an untrained one, so the model classifies "
    "(--task sentence_prediction) and cannot teach kd_mlm"
)
PREFIX = "<s>"
PREFIX_NOTE = (
    f"the model reads {PREFIX} in front of every text and fairseq's translation adds none: write "
    f'"{PREFIX} " in front of the encoded text, source and target'
)


@dataclass(frozen=True)
class _Source:
    """A Hugging Face folder that was checked, and what becomes of it."""

    folder: Path
    family: Family
    architecture: str
    config: Config
    tokenizer: Any
    vocabulary: Vocabulary
    rows: list[Row]

    @property
    def first_token(self) -> str:
        """Return the token that the tokenizer puts in front of a text, or the text's first."""
        return str(self.tokenizer.convert_ids_to_tokens(self.tokenizer("a").input_ids)[0])

    @property
    def bos_token(self) -> str:
        """Return the token that is fairseq's `<s>`."""
        return str(self.tokenizer.cls_token or self.tokenizer.bos_token)


def convert(request: Conversion) -> Converted:
    """Convert one folder; the output folder appears when everything in it was verified.

    Raises:
        ValueError: bad input, see the functions of this package; nothing was written then.
    """
    OutputFolder(request.out, "--to fairseq", MARKS, [request.path]).check(request.force)
    with prefix_errors(request.named):
        source = _read(request)
        needed = {row.hf for row in source.rows}
        loaded = hf_folder.load_model(
            source.folder, source.family, source.architecture, needed, request.num_classes
        )
        with new_folder(request.out, "--to fairseq") as folder:
            return _write(request, source, loaded, folder)


def _read(request: Conversion) -> _Source:
    """Read and check all but the weights' values."""
    folder = around.encoder_folder(request.path)
    stored = hf_folder.read_config(folder)
    family = find_family(stored)
    architecture = find_class(family, stored, hf_weights.check_weights(folder))
    if request.num_classes is not None:
        architecture = _with_new_head(family, architecture)
    config = hf_folder.full_config(folder, architecture, request.num_classes)
    config |= {FOLDED: request.segment}
    problems = family.unsupported(config)
    problems.extend(f"fairseq has no {reason}" for reason in foreign_reasons(stored))
    problems.extend([bert.segment_problem(config, request.segment)])
    problems.extend(class_problems(config, architecture))
    problems.raise_if_any()
    tokenizer = hf_folder.load_tokenizer(folder)
    vocabulary = read_vocabulary(tokenizer, config, family)
    _set_languages(tokenizer, request.languages, vocabulary.languages)
    if family.alphabet == "wordpiece":
        tokenizers.check_word_pieces(tokenizer)
    elif vocabulary.merges is None:
        tokenizers.check_pieces(folder, vocabulary.symbols)
    rows = family.table(config, torch.tensor(vocabulary.order), architecture)
    return _Source(folder, family, architecture, config, tokenizer, vocabulary, rows)


def _with_new_head(family: Family, architecture: str) -> str:
    """Return the class that puts a classification head on an encoder without one."""
    classifier = next((x for x in family.classes if x.endswith(CLASSIFIER)), None)
    if classifier is None or architecture == classifier:
        raise ValueError(
            f"--num-classes: expected an encoder without a classification head, got {architecture}"
        )
    return classifier


def _set_languages(tokenizer: Any, languages: tuple[str, str], known: Sequence[str]) -> None:
    """Let a multilingual tokenizer read `--langs`; other tokenizers have no languages."""
    unknown = [language for language in languages if known and language not in known]
    if unknown:
        raise ValueError(
            f"--langs: expected two languages of the model ({', '.join(known)}), got "
            f"{', '.join(unknown)}"
        )
    if known:
        tokenizer.src_lang, tokenizer.tgt_lang = languages


def _write(
    request: Conversion, source: _Source, loaded: hf_folder.LoadedModel, folder: Path
) -> Converted:
    """Write the checkpoint, verify it, and copy the other files of the model."""
    model, notes = loaded.model, around.modules_note(request.path)
    if loaded.dtype != "float32":
        notes.append(f"the weights were {loaded.dtype} and are float32 now")
    if loaded.drawn:
        notes.append(f"new, drawn at random: {', '.join(loaded.drawn)}")
    task, task_flags = _write_dictionaries(request, source, folder)
    prefix = PREFIX if task == "translation" and source.first_token == source.bos_token else ""
    if prefix:
        notes.append(PREFIX_NOTE)
    encoding = _write_encoding(request, source, folder, prefix)
    flags = ["--task", task, *source.family.flags(source.config), *task_flags]
    state = dict(model.state_dict())
    if source.family.prepare is not None:
        state = source.family.prepare(source.config, state)
    tensors = to_fairseq_state(source.rows, state)
    words = tensors.get(WORDS)
    if words is not None and f"{HEAD_PREFIX}weight" not in tensors:
        tensors |= untrained_head(words, tied="--untie-weights-roberta" not in flags)
        notes.append(NO_HEAD)
    written = fairseq_checkpoint.write(request.out, flags, tensors, folder)
    order = source.vocabulary.order
    compared = _compare(request, source, (written, model), folder)
    notes += compared.notes
    hf_folder.copy_side_files(source.folder, folder / ORIGIN)
    record = {
        "format": 1,
        "model_type": source.family.model_type,
        "architecture": source.architecture,
        "dtype": loaded.dtype,
        "order": order,
        "segment": request.segment,
        "encoding": encoding,
    }
    (folder / ORIGIN / RECORD).write_text(json.dumps(record), encoding="utf-8")
    return Converted(request.out / MODEL, compared, notes, flags, encoding)


def _compare(
    request: Conversion,
    source: _Source,
    models: tuple[fairseq_checkpoint.WrittenModel, Any],
    folder: Path,
) -> hf_parity.Comparison:
    """Compare what both sides read of the same texts, and the logits that they compute of it.

    Raises:
        ValueError: they differ.
    """
    order, (written, model) = source.vocabulary.order, models
    readings = text_parity.read_on_both_sides(
        (written.cfg, folder), model, source.tokenizer, order, request.languages
    )
    pairs = readings.pairs
    compared = hf_parity.compare_logits((written.model, model), order, pairs, request.segment)
    compared.check()
    return replace(compared, notes=readings.notes)


def _write_encoding(request: Conversion, source: _Source, folder: Path, prefix: str) -> str:
    """Write the tokenizer's files for fairseq's `--bpe`; return its flags."""
    if source.vocabulary.merges is not None:
        flags = tokenizers.write_merges(source.vocabulary.merges, folder)
    elif source.family.alphabet == "wordpiece":
        ids = source.tokenizer.get_vocab()
        cased = tokenizers.is_cased(source.tokenizer)
        flags = tokenizers.write_word_pieces(sorted(ids, key=ids.get), folder, cased)
    else:
        flags = tokenizers.write_pieces(source.folder, folder)
    return tokenizers.write_encoding(flags, folder, prefix)


def _write_dictionaries(
    request: Conversion, source: _Source, folder: Path
) -> tuple[str, list[str]]:
    """Write the dictionaries where fairseq's task looks for them; return the task and its flags."""
    task, names = source.family.task, ["dict.txt"]
    languages = ",".join(source.vocabulary.languages)
    flags: list[str] = []
    one, two = request.languages
    if source.architecture.endswith(CLASSIFIER):
        task, flags = "sentence_prediction", write_classes(source.config, folder)
        flags += ["--separator-token", "2"] if separators(source.tokenizer) == 2 else []
        names.append("input0/dict.txt")
    elif task == "masked_lm":
        flags = ["--tokens-per-sample", str(bert.positions(source.config))]
    elif task == MULTILINGUAL or (task == MBART and source.first_token == one):  # mBART-50
        flags = ["--langs", languages, "--lang-pairs", f"{one}-{two}"]
        flags += ["--encoder-langtok", "src", "--decoder-langtok"]
        flags += ["--lang-tok-style", "mbart"] if task == MBART else []
        task = MULTILINGUAL
    elif task.startswith("translation"):
        flags = ["--source-lang", one, "--target-lang", two]
    if task == MBART:
        flags += ["--langs", languages]
    if task.startswith("translation"):
        names += [f"dict.{one}.txt", f"dict.{two}.txt"]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        source.vocabulary.write(folder / name)
    return task, flags
