"""Whether an exported model computes what fairseq computes, to rounding."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .engines import Engine, Floats, Hypothesis, Search, limited
from .loaded_model import TRANSLATION, LoadedModel
from .sample_batches import Sample

TOLERANCE = 1e-4  # of log-probabilities in float32
# Empty outputs are allowed: without them, CTranslate2 gives the end's share of the first symbol
# to the others, fairseq to none.
SEARCH = Search(beam=5, longest=100, shortest=0)


@dataclass(frozen=True)
class Parity:
    """What a comparison found.

    Attributes:
        sentences: how many, 0 where that is not known; `inputs`: which, in words.
        largest_difference: of log-probabilities (a regression: of its outputs).
        beams: translations that both ended by themselves, all the same; None: not translation.
    """

    sentences: int
    inputs: str
    largest_difference: float
    beams: int | None


def compare(
    student: LoadedModel,
    reference: Engine,
    exported: Engine,
    samples: Sequence[Sample],
    inputs: str,
) -> Parity:
    """Compares two float32 engines of one model.

    Args:
        reference, exported: for translation both with `SEARCH`, as far as the model goes.
        inputs: what the samples are, in words.
    Raises:
        ValueError: they differ by more than `TOLERANCE`, or in a translation.
    """
    sentences = sum(len(sample["id"]) for sample in samples)
    largest = largest_difference(reference, exported, samples)
    check_difference(student.info.named, largest, inputs)
    beams = None
    if student.info.task == TRANSLATION:
        beams = sum(_same_beams(student, reference, exported, sample) for sample in samples)
    return Parity(sentences, inputs, largest, beams)


def largest_difference(reference: Engine, exported: Engine, samples: Sequence[Sample]) -> float:
    """Of the log-probabilities of two engines; infinite where shapes differ."""
    largest = 0.0
    for sample in samples:
        pairs = zip(reference.log_probs(sample), exported.log_probs(sample), strict=True)
        largest = max([largest, *(_difference(ours, theirs) for ours, theirs in pairs)])
    return largest


def check_difference(named: str, largest: float, inputs: str) -> None:
    """Raises ValueError if log-probabilities of the model that a flag named differ too much."""
    if not largest <= TOLERANCE:
        raise ValueError(
            f"{named}: the exported model does not compute what fairseq does: largest "
            f"difference {largest:.1e} on {inputs}, expected {TOLERANCE:.0e} at most"
        )


def _difference(ours: Floats, theirs: Floats) -> float:
    """Largest absolute difference; infinite where the shapes differ or a value is no number."""
    if ours.shape != theirs.shape:
        return float("inf")
    found = float(np.abs(ours - theirs).max(initial=0.0))
    return found if found == found else float("inf")


def _same_beams(student: LoadedModel, reference: Engine, exported: Engine, sample: Sample) -> int:
    """Translations that are the same; those are left out that run into the longest length, where
    fairseq forces an end and CTranslate2 does not."""
    compared, longest = 0, limited(SEARCH, student).longest
    for ours, theirs in zip(reference.run(sample), exported.run(sample), strict=True):
        if max(len(ours.symbols), len(theirs.symbols)) >= longest:
            continue
        compared += 1
        if ours.symbols != theirs.symbols and not _tie(ours, theirs):
            raise ValueError(
                f"{student.info.named}: beam search differs: fairseq gives "
                f"{' '.join(ours.symbols)!r} ({ours.score:.5f}), the exported model "
                f"{' '.join(theirs.symbols)!r} ({theirs.score:.5f})"
            )
    return compared


def _tie(ours: Hypothesis, theirs: Hypothesis) -> bool:
    """Whether rounding may decide between them: equally probable to the tolerance."""
    return abs(ours.score - theirs.score) <= TOLERANCE
