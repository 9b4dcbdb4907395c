"""Compare what both systems make of a text: fairseq's task on one side, the tokenizer on the other.

Languages, `<s>`, `</s>` and what the decoder starts with stand around a text, so both models
computing the same for the same ids is not enough. Here a text goes in on both sides, and what each
side reads goes on to `hf_parity`, which compares the logits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary
from torch import Tensor

from ..problems import Problems
from .fairseq_text import LANGUAGE_MODELING, SENTENCE_PREDICTION, FairseqText, Reading
from .sentence_pairs import separators
from .tokenizers import encoder

TEXTS = ("The cat sat on a mat.", 'Is "naïve" 12.5 % OK?')  # short: tiny models take few tokens
SIDES = ("source", "target")
PAIR = "a cat", "the mat"
NO_PAIRS = "the tokenizer puts no separator between two sentences: do not train the model on pairs"
START_OF_TEXT = (
    "fairseq's language models read {0} in front of every text, the tokenizer adds none: in "
    "transformers, put it there to get the same probabilities"
)
LEGACY = (
    "; set legacy_behaviour to false in tokenizer_config.json: NLLB was trained with the language "
    "in front"
)


@dataclass(frozen=True)
class Readings:
    """What both sides read of some texts.

    Attributes:
        pairs: per text, fairseq's reading in its own ids and transformers' in its own.
        notes: what the user should know.
    """

    pairs: list[tuple[Reading, Reading]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_on_both_sides(
    place: tuple[Any, Path], model: Any, tokenizer: Any, order: Sequence[int], pair: tuple[str, str]
) -> Readings:
    """Give texts to both sides; refuse a folder whose task reads one otherwise than the tokenizer.

    Args:
        place: the configuration and the folder that `to_fairseq` wrote.
        model, tokenizer: of Hugging Face; the tokenizer's languages are set.
        order, pair: see `FairseqText`.
    Raises:
        ValueError: names the text and both readings.
    """
    cfg, folder = place
    encoders = {side: encoder(folder, side) for side in SIDES}
    dictionaries = dict.fromkeys(SIDES, Dictionary.load(str(folder / "dict.txt")))
    fairseq_text = FairseqText(cfg, folder, dictionaries, encoders, order, pair)
    readings = compare_texts(fairseq_text, model, tokenizer, TEXTS)
    if fairseq_text.task == SENTENCE_PREDICTION:
        compare_pair(fairseq_text, tokenizer, readings)
    return readings


def compare_pair(fairseq_text: FairseqText, tokenizer: Any, readings: Readings) -> None:
    """Compare what both sides read of a sentence pair, and add it to the readings.

    Raises:
        ValueError: names both readings.
    """
    if not separators(tokenizer):
        readings.notes.append(NO_PAIRS)
        return
    fairseq, hf = fairseq_text.read(*PAIR), tokenizer(*PAIR)
    segments = list(hf.token_type_ids) if fairseq.segments else []
    reading = Reading(list(hf.input_ids), segments=segments)
    text = " + ".join(PAIR)
    _compare(text, f"--task {fairseq_text.task}", (fairseq_text.in_hf(fairseq), reading), tokenizer)
    if fairseq.segments != segments:
        raise ValueError(
            f"tokenizer: expected of {text!r} the segments that fairseq's model has, "
            f"{fairseq.segments}, got {segments}"
        )
    readings.pairs.append((fairseq, reading))


def compare_texts(
    fairseq_text: FairseqText,
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    of_target: Any = None,
) -> Readings:
    """Compare what both sides read of some texts; see `read_on_both_sides`.

    Args:
        of_target: tokenizer of the target's dictionary, if it is another one.
    """
    readings = Readings()
    for text in texts:
        own = fairseq_text.read(text)
        fairseq = fairseq_text.in_hf(own)
        hf = hf_reading(model, tokenizer, text, of_target)
        if fairseq_text.task == LANGUAGE_MODELING and hf.source[:1] != [fairseq_text.eos]:
            hf.source.insert(0, fairseq_text.eos)
            readings.notes[:] = [START_OF_TEXT.format(tokenizer.eos_token)]
        if fairseq.decoder and fairseq_text.eos != model.config.decoder_start_token_id:
            _fold_start(fairseq.decoder, fairseq_text.eos, model.config)
        _compare(text, f"--task {fairseq_text.task}", (fairseq, hf), tokenizer)
        _check_start(hf, model, tokenizer)
        readings.pairs.append((own, hf))
    return readings


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
