"""Compare what both systems make of a text: fairseq's task on one side, the tokenizer on the other.

The comparison of logits feeds both models the same ids, so it cannot see what stands around a text:
languages, `<s>`, `</s>`, what the decoder starts with. Here a text goes in on both sides.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary, indexed_dataset
from torch import Tensor

from ..checkpoints.dictionaries import set_up_in
from ..problems import Problems
from . import fairseq_checkpoint
from .tokenizers import encoder

TEXTS = ("The cat sat on a mat.", 'Is "naïve" 12.5 % OK?')  # short: tiny models take few tokens
SIDES = ("source", "target")
LANGUAGE_MODELING = "language_modeling"
START_OF_TEXT = (
    "fairseq's language models read {0} in front of every text, the tokenizer adds none: in "
    "transformers, put it there to get the same probabilities"
)
LEGACY = (
    "; set legacy_behaviour to false in tokenizer_config.json: NLLB was trained with the language "
    "in front"
)


@dataclass(frozen=True)
class Reading:
    """The ids that a model is given for a text, in Hugging Face's numbering.

    Attributes:
        source: of the encoder, or of a model without decoder.
        decoder: the first ids and all others that the decoder reads; empty if there is none.
    """

    source: list[int]
    decoder: list[int]


@dataclass(frozen=True)
class FairseqText:
    """How a fairseq checkpoint gets its text.

    Attributes:
        cfg: its configuration; folder: with its dictionaries.
        encoders: functions text -> tokens separated by spaces, of `source` and `target`.
        dictionaries: of both.
        order: the Hugging Face id of each token of the dictionary; others keep their number.
        pair: source and target language.
    """

    cfg: Any
    folder: Path
    dictionaries: Mapping[str, Dictionary]
    encoders: Mapping[str, Callable[[str], str]]
    order: Sequence[int]
    pair: tuple[str, str]

    @property
    def task(self) -> str:
        """Return the name of the task."""
        return str(self.cfg.task._name)

    @property
    def eos(self) -> int:
        """Return the Hugging Face id of `</s>`."""
        return self.hf_ids([2])[0]

    def hf_ids(self, ids: Sequence[int]) -> list[int]:
        """Return the Hugging Face ids of fairseq's."""
        return [self.order[i] if i < len(self.order) else i for i in ids]

    def read(self, text: str) -> Reading:
        """Binarize a text as fairseq-preprocess does, and load it with the task."""
        with tempfile.TemporaryDirectory() as name:
            data = Path(name)
            for path in (*self.folder.glob("dict*.txt"), *self.folder.glob("*/dict*.txt")):
                copy = data / path.relative_to(self.folder)
                copy.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, copy)
            for prefix, side in _files(data, self.task, self.pair).items():
                dictionary = self.dictionaries[side]
                ids = dictionary.encode_line(self.encoders[side](text), add_if_not_exist=False)
                builder = indexed_dataset.make_builder(f"{prefix}.bin", "mmap", len(dictionary))
                builder.add_item(ids.long())
                builder.finalize(f"{prefix}.idx")
            task: Any = set_up_in(self.cfg.task, data)
            task.load_dataset("text")
            dataset = task.dataset("text")
            sample = dataset.collater([dataset[0]])
        source = sample["net_input"]["src_tokens"][0]
        if self.task == "masked_lm":  # take the masks off
            target = sample["target"][0]
            source = torch.where(target == task.source_dictionary.pad(), source, target)
        previous = sample["net_input"].get("prev_output_tokens")
        decoder = [] if previous is None else previous[0].tolist()
        return Reading(self.hf_ids(source.tolist()), self.hf_ids(decoder))


def check_text(
    folder: Path, model: Any, tokenizer: Any, order: Sequence[int], pair: tuple[str, str]
) -> list[str]:
    """Refuse a converted folder whose task reads a text otherwise than the tokenizer.

    Args:
        folder: what `to_fairseq` wrote.
        model, tokenizer: of Hugging Face; the tokenizer's languages are set.
        order, pair: see `FairseqText`.
    Returns:
        what the user should know.
    Raises:
        ValueError: names the text and both readings.
    """
    encoders = {side: encoder(folder, side) for side in SIDES}
    cfg, _ = fairseq_checkpoint.load(folder)
    dictionaries = dict.fromkeys(SIDES, Dictionary.load(str(folder / "dict.txt")))
    fairseq_text = FairseqText(cfg, folder, dictionaries, encoders, order, pair)
    return compare_texts(fairseq_text, model, tokenizer, TEXTS)


def compare_texts(
    fairseq_text: FairseqText,
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    of_target: Any = None,
) -> list[str]:
    """Compare what both sides read of some texts; see `check_text`.

    Args:
        of_target: tokenizer of the target's dictionary, if it is another one.
    """
    notes: list[str] = []
    for text in texts:
        fairseq = fairseq_text.read(text)
        hf = hf_reading(model, tokenizer, text, of_target)
        if fairseq_text.task == LANGUAGE_MODELING and hf.source[:1] != [fairseq_text.eos]:
            hf.source.insert(0, fairseq_text.eos)
            notes = [START_OF_TEXT.format(tokenizer.eos_token)]
        if fairseq.decoder and fairseq_text.eos != model.config.decoder_start_token_id:
            _fold_start(fairseq.decoder, fairseq_text.eos, model.config)
        _compare(text, f"--task {fairseq_text.task}", (fairseq, hf), tokenizer)
        _check_start(hf, model, tokenizer)
    return notes


def hf_reading(model: Any, tokenizer: Any, text: str, of_target: Any = None) -> Reading:
    """Return what transformers makes of a text; the decoder gets the text, too, as in training."""
    source = list(tokenizer(text).input_ids)
    if model.config.model_type == "fsmt":  # it ignores labels
        target = list((of_target or tokenizer)(text).input_ids)
        return Reading(source, [model.config.decoder_start_token_id, *target[:-1]])
    if not getattr(model.config, "is_encoder_decoder", False):
        return Reading(source, [])
    seen: list[Tensor] = []

    def record(module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        seen.append(kwargs["input_ids"] if "input_ids" in kwargs else args[0])

    handle = model.get_decoder().register_forward_pre_hook(record, with_kwargs=True)
    labels = tokenizer(text_target=text).input_ids
    try:
        with torch.no_grad():
            model(input_ids=torch.tensor([source]), labels=torch.tensor([labels]))
    finally:
        handle.remove()
    return Reading(source, seen[0][0].tolist())


def _files(data: Path, task: str, pair: tuple[str, str]) -> dict[Path, str]:
    """Return where the task looks for a split called `text`, and the side of each file."""
    if task.startswith("translation"):
        names = zip(pair, ("source", "target"), strict=True)
        return {data / f"text.{pair[0]}-{pair[1]}.{language}": side for language, side in names}
    folder = data / "input0" if task == "sentence_prediction" else data
    return {folder / "text": "source"}


def _fold_start(decoder: list[int], eos: int, config: Any) -> None:
    """Name the start by what it stands for: Marian's `</s>` has the embedding of `<pad>`."""
    if config.model_type == "marian" and decoder[0] == eos:
        decoder[0] = int(config.decoder_start_token_id)


def _compare(text: str, task: str, readings: tuple[Reading, Reading], tokenizer: Any) -> None:
    fairseq, hf = readings
    for what, ids, hf_ids in (
        ("text", fairseq.source, hf.source),
        ("decoder's input", fairseq.decoder, hf.decoder),
    ):
        if ids != hf_ids:
            tokens, hf_tokens = (
                " ".join(tokenizer.convert_ids_to_tokens(x)) for x in (ids, hf_ids)
            )
            hint = LEGACY if getattr(tokenizer, "legacy_behaviour", False) else ""
            raise ValueError(
                f"tokenizer: expected of {text!r} as {what} what fairseq's {task} reads, {tokens}, "
                f"got {hf_tokens}{hint}"
            )


def _check_start(hf: Reading, model: Any, tokenizer: Any) -> None:
    """Refuse a model that begins its output with something else than what a target begins with.

    A language that starts the decoder (mBART) is chosen with every call; the model's own is not it.
    """
    if not hf.decoder:
        return
    start, forced = (
        _setting(model, "decoder_start_token_id"),
        _setting(model, "forced_bos_token_id"),
    )
    first, second = tokenizer.convert_ids_to_tokens(hf.decoder[:2])
    problems = Problems()
    if (
        start is not None
        and first in (tokenizer.eos_token, tokenizer.pad_token)
        and start != hf.decoder[0]
    ):
        got = tokenizer.convert_ids_to_tokens(start)
        problems.add(f"decoder_start_token_id: expected {first}, got {got}")
    if forced is not None and forced not in hf.decoder[:2]:
        got = tokenizer.convert_ids_to_tokens(forced)
        problems.add(f"forced_bos_token_id: expected the target's first token, {second}, got {got}")
    problems.raise_if_any()


def _setting(model: Any, name: str) -> int | None:
    """Return a setting of generation, which older folders have in the configuration."""
    values = (getattr(x, name, None) for x in (model.generation_config, model.config))
    return next((value for value in values if value is not None), None)
