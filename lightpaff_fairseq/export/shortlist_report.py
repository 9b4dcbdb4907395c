"""Measure a lexical shortlist: the tokens that it allows, its cost in quality, and its speed."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fairseq.data import Dictionary

from .engines import Engine, Hypothesis, tokens_of
from .export_quality import Labels, Quality
from .loaded_model import LoadedModel
from .sample_batches import Sample
from .shortlist import Shortlist

ROUNDS = 2  # of timing; the faster one counts, since other jobs can only slow a round down
Outputs = list[Sequence[Hypothesis]]


@dataclass(frozen=True)
class ShortlistScore:
    """An exported model without and with its shortlist, in batches of one size.

    Attributes:
        batch: sentences per batch; `candidates`: mean number of target tokens that one allows.
        without, quality: scores without and with the shortlist.
        seconds_without, seconds: wall time of the faster search of every batch, interleaved.
    """

    batch: int
    candidates: float
    sentences: int
    without: Quality
    quality: Quality
    seconds_without: float
    seconds: float

    @property
    def times_faster(self) -> float:
        """The speed with the shortlist relative to that without."""
        return self.seconds_without / self.seconds


@dataclass(frozen=True)
class Coverage:
    """The share of tokens that a shortlist allows to sentences in batches of their own.

    Attributes:
        references: of the targets of the split.
        outputs: of the model's outputs without the shortlist.
    """

    references: float
    outputs: float


def compare_searches(
    labels: Labels, shortlist: Shortlist, engines: tuple[Engine, Engine]
) -> tuple[ShortlistScore, Outputs]:
    """Search all samples without and with the shortlist.

    Args:
        labels: batches of one size, except the last.
        engines: the exported model without and with it.
    Returns:
        the comparison, and the outputs without the shortlist.
    """
    student, samples = labels.student, labels.samples
    outputs: tuple[Outputs, Outputs] = [], []
    seconds = [0.0, 0.0]
    for sample in samples:
        times: tuple[list[float], list[float]] = [], []
        for _ in range(ROUNDS):
            answers = []
            for engine, own in zip(engines, times, strict=True):
                start = time.perf_counter()
                answers.append(engine.run(sample))
                own.append(time.perf_counter() - start)
        for i, answer in enumerate(answers):
            outputs[i].append(answer)
            seconds[i] += min(times[i])
    sizes = [len(shortlist.candidates(_sources(student, sample))) for sample in samples]
    counts = [len(sample["id"]) for sample in samples]
    result = ShortlistScore(
        batch=max(counts),
        candidates=sum(sizes) / len(sizes),
        sentences=sum(counts),
        without=labels.quality(outputs[0]),
        quality=labels.quality(outputs[1]),
        seconds_without=seconds[0],
        seconds=seconds[1],
    )
    return result, outputs[0]


def coverage_of(labels: Labels, shortlist: Shortlist, outputs: Outputs) -> Coverage:
    """Return the share of allowed tokens; `outputs`: of the samples, without the shortlist."""
    student, samples = labels.student, labels.samples
    dictionary: Dictionary = student.task.target_dictionary
    always = set(dictionary.symbols[: dictionary.nspecial])
    allowed = [
        shortlist.candidates([source]) | always
        for sample in samples
        for source in _sources(student, sample)
    ]
    targets = [tokens_of(row, dictionary) for sample in samples for row in sample["target"]]
    answers = [hypothesis.tokens for batch in outputs for hypothesis in batch]
    return Coverage(_share(allowed, targets), _share(allowed, answers))


def _sources(student: LoadedModel, sample: Sample) -> list[list[str]]:
    dictionary = student.task.source_dictionary
    return [tokens_of(row, dictionary) for row in sample["net_input"]["src_tokens"]]


def _share(allowed: Iterable[set[str]], sentences: Iterable[Sequence[str]]) -> float:
    """Return the share of the tokens of all sentences that their own set contains."""
    hits = [
        token in each for each, tokens in zip(allowed, sentences, strict=True) for token in tokens
    ]
    return sum(hits) / max(1, len(hits))


@dataclass(frozen=True)
class ShortlistReport:
    """A shortlist and its measurements.

    Attributes:
        pairs: number of the training pairs; `seconds`: wall time to build it from them.
        rules, entries: numbers of source n-grams and of their target tokens.
        skipped: number of tokens of both dictionaries that a rule cannot hold, as they are empty or
            contain a blank.
        scores: in batches of `BATCHES` sentences.
    """

    pairs: int
    seconds: float
    rules: int
    entries: int
    skipped: int
    coverage: Coverage
    scores: tuple[ShortlistScore, ...]
