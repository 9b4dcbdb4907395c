"""The `Engine` protocol, which runs a loaded model on batches, and its reference, fairseq.

For every sample of a batch, in order, an engine returns
translation: a `Hypothesis`; language_modeling: the log-probabilities of the target, `(T,)`;
otherwise: the output of the head, `(K,)` (classes) or `(T, V)` (masked_lm, padding included), or
the embedding, `(C,)`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from fairseq import utils
from fairseq.data import Dictionary
from fairseq.models import BaseFairseqModel as FairseqModel
from fairseq.sequence_generator import SequenceGenerator
from fairseq.tasks import FairseqTask
from torch import Tensor
from torch.nn import functional

from ..models.sentence_embeddings import embed
from .loaded_model import CLASSIFICATION, EMBEDDING, LANGUAGE_MODELING, TRANSLATION, LoadedModel
from .sample_batches import Sample

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Search:
    """Beam size, and the maximum and minimum tokens of an output, eos not counted.

    Attributes:
        scores: needed; without them, CTranslate2 omits the softmax of a greedy search.
        shortlist: use the lexical shortlist of an exported folder that has one.
    """

    beam: int = 5
    longest: int = 200
    shortest: int = 1
    scores: bool = True
    shortlist: bool = False


def limited(search: Search, student: LoadedModel) -> Search:
    """Return the search with lengths that the model's decoder supports, as fairseq does."""
    if student.info.task != TRANSLATION:
        return search
    longest = min(search.longest, student.model.max_decoder_positions() - 1)
    return replace(search, longest=longest, shortest=min(search.shortest, longest))


@dataclass(frozen=True)
class Hypothesis:
    """The best output of a beam search, without eos.

    Attributes:
        score: mean log-probability; NaN if the search needs no scores.
    """

    tokens: tuple[str, ...]
    score: float


class Engine(Protocol):
    """A loaded model."""

    def run(self, sample: Sample) -> Sequence[Any]:
        """Return the outputs for a batch; see the module."""

    def log_probs(self, sample: Sample) -> list[Floats]:
        """Return the log-probabilities for the parity check, one array per sample.

        translation: of the target's tokens, eos included, `(T,)`; otherwise of all outputs,
        `(..., K)`, without padding. A regression returns its outputs.
        """


def fairseq_engine(student: LoadedModel, search: Search, device: str, half: bool = False) -> Engine:
    """Return fairseq's engine for a model of any task."""
    model = student.model.to(device)
    model = model.half() if half else model.float()
    if student.info.task == TRANSLATION:
        return FairseqTranslator(student.task, model, search)
    if student.info.task == LANGUAGE_MODELING:
        return FairseqLanguageModel(student.task, model)
    return FairseqEncoder(student, model)


def tokens_of(row: Tensor, dictionary: Dictionary) -> list[str]:
    """Return the tokens of one row of ids, without padding and eos."""
    skipped = (dictionary.pad(), dictionary.eos())
    return [dictionary[i] for i in row.tolist() if i not in skipped]


def _on_device_of(model: FairseqModel, sample: Sample) -> Sample:
    device = next(model.parameters()).device
    if device.type == "cpu":
        return sample
    moved: Sample = utils.move_to_cuda(sample)
    return moved


class FairseqTranslator:
    """Beam search by fairseq, with the model prepared as fairseq-generate does."""

    def __init__(self, task: FairseqTask, model: FairseqModel, search: Search) -> None:
        self.model, self.dictionary = model, task.target_dictionary
        model.make_generation_fast_(beamable_mm_beam_size=search.beam, need_attn=False)
        self.generator = SequenceGenerator(
            [model],
            self.dictionary,
            beam_size=search.beam,
            max_len_b=search.longest,
            min_len=search.shortest,
        )

    @torch.no_grad()
    def run(self, sample: Sample) -> list[Hypothesis]:
        beams = self.generator.generate([self.model], _on_device_of(self.model, sample))
        return [
            Hypothesis(tuple(tokens_of(best["tokens"], self.dictionary)), float(best["score"]))
            for best, *_ in beams
        ]

    @torch.no_grad()
    def log_probs(self, sample: Sample) -> list[Floats]:
        # BART only: while a beam size is set, its attention treats any batch as beams
        set_beam = getattr(self.model, "set_beam_size", lambda size: None)
        set_beam(1)
        lprobs = _target_log_probs(self.model, sample, self.dictionary.pad())
        set_beam(self.generator.beam_size)
        return lprobs


class FairseqLanguageModel:
    """Log-probabilities of text, as fairseq-eval-lm computes them."""

    def __init__(self, task: FairseqTask, model: FairseqModel) -> None:
        self.model, self.pad = model, task.target_dictionary.pad()

    @torch.no_grad()
    def run(self, sample: Sample) -> list[Floats]:
        return _target_log_probs(self.model, sample, self.pad)

    @torch.no_grad()
    def log_probs(self, sample: Sample) -> list[Floats]:
        return _unpadded(_log_probs(self.model, sample), sample["target"].ne(self.pad))


class FairseqEncoder:
    """Outputs of a BERT: of its classification head, of masked_lm, or embeddings."""

    def __init__(self, student: LoadedModel, model: FairseqModel) -> None:
        self.model, self.student = model, student

    @torch.no_grad()
    def run(self, sample: Sample) -> list[Floats]:
        tokens = _on_device_of(self.model, sample)["net_input"]["src_tokens"]
        return list(encoder_output(self.model, self.student, tokens).float().cpu().numpy())

    def log_probs(self, sample: Sample) -> list[Floats]:
        return normalized(self.run(sample), sample, self.student)


def encoder_output(model: FairseqModel, student: LoadedModel, tokens: Tensor) -> Tensor:
    """Return a BERT's outputs for ids `(B, T)`: `(B, K)` of its head, or `(B, T, V)`.

    Of a model for embeddings, `(B, C)` with norm 1.
    """
    if student.info.pooling and student.info.task == EMBEDDING:
        pad = student.task.source_dictionary.pad()
        return functional.normalize(embed(model, tokens, pad, student.info.pooling), dim=-1)
    head = {}
    if student.info.task == CLASSIFICATION:
        name = student.task.cfg.classification_head_name
        head = {"features_only": True, "classification_head_name": name}
    outputs: Tensor = model(tokens, **head)[0]
    return outputs


def normalized(outputs: Sequence[Floats], sample: Sample, student: LoadedModel) -> list[Floats]:
    """Return log-probabilities without padding, or the outputs of a regression or embedding.

    Args:
        outputs: B of `(K,)` or `(T, V)`.
    """
    values = torch.from_numpy(np.stack(outputs))
    if student.info.task == EMBEDDING:
        return list(values.numpy())
    if student.info.task == CLASSIFICATION:
        return list((values.log_softmax(-1) if student.has_classes else values).numpy())
    kept = sample["net_input"]["src_tokens"].ne(student.task.source_dictionary.pad())
    return _unpadded(values.log_softmax(-1), kept)


def _log_probs(model: FairseqModel, sample: Sample) -> Tensor:
    net_output = model(**_on_device_of(model, sample)["net_input"])
    lprobs: Tensor = model.get_normalized_probs(net_output, log_probs=True, sample=sample)
    return lprobs.float()


def _target_log_probs(model: FairseqModel, sample: Sample, pad: int) -> list[Floats]:
    """Return the log-probabilities of the target's tokens, `(T,)` per sample."""
    lprobs, target = _log_probs(model, sample), sample["target"]
    chosen = lprobs.gather(-1, target.to(lprobs.device).unsqueeze(-1)).squeeze(-1)
    return _unpadded(chosen, target.ne(pad))


def _unpadded(values: Tensor, kept: Tensor) -> list[Floats]:
    """Return the values `(B, T, ...)` where `kept` `(B, T)` is true, one array per sample."""
    return [row[mask].numpy() for row, mask in zip(values.cpu(), kept.cpu(), strict=True)]
