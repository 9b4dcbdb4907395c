"""What answers a batch, whatever it runs on; here on fairseq itself, the reference.

An engine of a task gives for every sample of a batch, in the batch's order:
translation: a `Hypothesis`; language_modeling: the log-probabilities of the target, `(T,)`;
the others: the output of the head, `(K,)` (classes) or `(T, V)` (masked_lm, padding included).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from fairseq import utils
from fairseq.sequence_generator import SequenceGenerator
from torch import Tensor

from .loaded_model import CLASSIFICATION, LANGUAGE_MODELING, TRANSLATION, LoadedModel
from .sample_batches import Sample

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Search:
    """Beam search: its width, and the most and fewest symbols of an output, end not counted."""

    beam: int = 5
    longest: int = 200
    shortest: int = 1


def limited(search: Search, student: LoadedModel) -> Search:
    """`search` with outputs no longer than a model has positions for, as fairseq limits them."""
    if student.info.task != TRANSLATION:
        return search
    longest = min(search.longest, student.model.max_decoder_positions() - 1)
    return replace(search, longest=longest, shortest=min(search.shortest, longest))


@dataclass(frozen=True)
class Hypothesis:
    """The best output of a beam search: symbols without the end, and the mean log-probability."""

    symbols: tuple[str, ...]
    score: float


class Engine(Protocol):
    """A loaded model."""

    def run(self, sample: Sample) -> Sequence[Any]:
        """The answers to a batch, see the module."""

    def log_probs(self, sample: Sample) -> list[Floats]:
        """What parity compares, a sample each.

        translation: of the target's symbols and its end, `(T,)`; else over all outputs,
        `(..., K)`, padding left out. A regression gives its bare outputs.
        """


def fairseq_engine(student: LoadedModel, search: Search, device: str, half: bool = False) -> Engine:
    """The reference for a student of any task."""
    model = student.model.to(device)
    model = model.half() if half else model.float()
    if student.info.task == TRANSLATION:
        return FairseqTranslator(student.task, model, search)
    if student.info.task == LANGUAGE_MODELING:
        return FairseqLanguageModel(student.task, model)
    return FairseqEncoder(student, model)


def symbols_of(row: Tensor, dictionary: Any) -> list[str]:
    """The symbols of one row of ids, without padding and without the end."""
    skipped = (dictionary.pad(), dictionary.eos())
    return [dictionary[i] for i in row.tolist() if i not in skipped]


def _on_device_of(model: Any, sample: Sample) -> Sample:
    device = next(model.parameters()).device
    if device.type == "cpu":
        return sample
    moved: Sample = utils.move_to_cuda(sample)
    return moved


class FairseqTranslator:
    """Beam search of fairseq-generate, prepared as it prepares models."""

    def __init__(self, task: Any, model: Any, search: Search) -> None:
        self.model, self.dictionary = model, task.target_dictionary
        model.make_generation_fast_(beamable_mm_beam_size=search.beam, need_attn=False)
        limits = {"max_len_b": search.longest, "min_len": search.shortest}
        self.generator = SequenceGenerator(
            [model], self.dictionary, beam_size=search.beam, **limits
        )

    @torch.no_grad()
    def run(self, sample: Sample) -> list[Hypothesis]:
        """See `Engine`."""
        found = self.generator.generate([self.model], _on_device_of(self.model, sample))
        best = [hypotheses[0] for hypotheses in found]
        return [
            Hypothesis(tuple(symbols_of(x["tokens"], self.dictionary)), float(x["score"]))
            for x in best
        ]

    @torch.no_grad()
    def log_probs(self, sample: Sample) -> list[Floats]:
        """See `Engine`."""
        set_beam = getattr(self.model, "set_beam_size", lambda size: None)
        set_beam(1)  # BART's attention takes any batch for beams while it is set
        found = _target_log_probs(self.model, sample, self.dictionary.pad())
        set_beam(self.generator.beam_size)
        return found


class FairseqLanguageModel:
    """Log-probabilities of a text, as fairseq-eval-lm computes them."""

    def __init__(self, task: Any, model: Any) -> None:
        self.model, self.pad = model, task.target_dictionary.pad()

    @torch.no_grad()
    def run(self, sample: Sample) -> list[Floats]:
        """See `Engine`."""
        return _target_log_probs(self.model, sample, self.pad)

    @torch.no_grad()
    def log_probs(self, sample: Sample) -> list[Floats]:
        """See `Engine`."""
        found = _log_probs(self.model, sample)
        kept = sample["target"].ne(self.pad)
        return [row[mask].numpy() for row, mask in zip(found.cpu(), kept, strict=True)]


class FairseqEncoder:
    """Outputs of a BERT: classes, a number, or symbols."""

    def __init__(self, student: LoadedModel, model: Any) -> None:
        self.model, self.student = model, student

    @torch.no_grad()
    def run(self, sample: Sample) -> list[Floats]:
        """See `Engine`."""
        tokens = _on_device_of(self.model, sample)["net_input"]["src_tokens"]
        return list(encoder_output(self.model, self.student, tokens).float().cpu().numpy())

    def log_probs(self, sample: Sample) -> list[Floats]:
        """See `Engine`."""
        return normalized(self.run(sample), sample, self.student)


def encoder_output(model: Any, student: LoadedModel, tokens: Tensor) -> Tensor:
    """A BERT's outputs for ids `(B, T)`: `(B, K)` of its head, `(B, T, V)` of masked_lm."""
    if student.info.task != CLASSIFICATION:
        outputs: Tensor = model(tokens)[0]
    else:
        head = student.task.cfg.classification_head_name
        outputs = model(tokens, features_only=True, classification_head_name=head)[0]
    return outputs


def normalized(outputs: Sequence[Floats], sample: Sample, student: LoadedModel) -> list[Floats]:
    """Log-probabilities of a BERT's outputs, without those of padding; a regression's as they are.

    Args:
        outputs: B of `(K,)` or `(T, V)`.
    """
    values = torch.from_numpy(np.stack(outputs))
    if student.info.task == CLASSIFICATION:
        classes = not student.task.cfg.regression_target
        found = list(values.log_softmax(-1) if classes else values)
    else:
        kept = sample["net_input"]["src_tokens"].ne(student.task.source_dictionary.pad())
        found = [row[mask].log_softmax(-1) for row, mask in zip(values, kept, strict=True)]
    return [x.numpy() for x in found]


def _log_probs(model: Any, sample: Sample) -> Tensor:
    net_output = model(**_on_device_of(model, sample)["net_input"])
    lprobs: Tensor = model.get_normalized_probs(net_output, log_probs=True, sample=sample)
    return lprobs.float()


def _target_log_probs(model: Any, sample: Sample, pad: int) -> list[Floats]:
    """`(T,)` a sample: log-probabilities of the target's symbols."""
    lprobs, target = _log_probs(model, sample), sample["target"]
    found = lprobs.gather(-1, target.to(lprobs.device).unsqueeze(-1)).squeeze(-1).cpu()
    kept = target.ne(pad)
    return [row[mask].numpy() for row, mask in zip(found, kept, strict=True)]
