"""Compare an exported model with fairseq: they must agree to rounding."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .engines import Engine, Floats, Search, limited
from .loaded_model import TRANSLATION, LoadedModel
from .sample_batches import Sample

TOLERANCE = 1e-4  # of log-probabilities in float32
# Empty outputs are allowed: without them CTranslate2 renormalizes the first token's probabilities
# without the end of sentence, fairseq does not.
SEARCH = Search(beam=5, longest=100, shortest=0)


@dataclass(frozen=True)
class Parity:
    """The result of a comparison.

    Attributes:
        sentences: their number, 0 where it is not known; `inputs`: which sentences, in words.
        largest_difference: of log-probabilities; of a regression, of its outputs.
        beams: number of translations that both ended by themselves, all equal; None: not a
            translation model.
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
    """Compare two float32 engines of one model.

    Args:
        reference, exported: for translation both with `SEARCH`, up to the model's longest output.
        inputs: describes the samples.
    Raises:
        ValueError: they differ by more than `TOLERANCE`, or in a translation.
    """
    sentences = sum(len(sample["id"]) for sample in samples)
    largest = largest_difference(reference, exported, samples)
    check_difference(student.info.named, largest, inputs)
    beams = None
    if student.info.task == TRANSLATION:
        beams = sum(_count_equal_beams(student, reference, exported, sample) for sample in samples)
    return Parity(sentences, inputs, largest, beams)


def largest_difference(reference: Engine, exported: Engine, samples: Sequence[Sample]) -> float:
    """Return the largest difference of log-probabilities; infinite where shapes differ."""
    largest = 0.0
    for sample in samples:
        pairs = zip(reference.log_probs(sample), exported.log_probs(sample), strict=True)
        largest = max([largest, *(_difference(*pair) for pair in pairs)])
    return largest


def check_difference(named: str, largest: float, inputs: str) -> None:
    """Raise ValueError if log-probabilities differ by more than `TOLERANCE`.

    Args:
        named: the flag and the file of the model.
    """
    if not largest <= TOLERANCE:
        raise ValueError(
            f"{named}: the exported model does not compute what fairseq does: largest "
            f"difference {largest:.1e} on {inputs}, expected {TOLERANCE:.0e} at most"
        )


def _difference(reference: Floats, exported: Floats) -> float:
    """Return the largest absolute difference; infinite where shapes differ or a value is NaN."""
    if reference.shape != exported.shape:
        return math.inf
    largest = float(np.abs(reference - exported).max(initial=0.0))
    return math.inf if math.isnan(largest) else largest


def _count_equal_beams(
    student: LoadedModel, reference: Engine, exported: Engine, sample: Sample
) -> int:
    """Count equal translations, without those that reach the longest length: there fairseq forces
    an end of sentence and CTranslate2 does not.

    Raises:
        ValueError: two translations differ.
    """
    compared, longest = 0, limited(SEARCH, student).longest
    for first, second in zip(reference.run(sample), exported.run(sample), strict=True):
        if max(len(first.tokens), len(second.tokens)) >= longest:
            continue
        compared += 1
        is_tie = abs(first.score - second.score) <= TOLERANCE  # rounding may decide
        if first.tokens != second.tokens and not is_tie:
            raise ValueError(
                f"{student.info.named}: beam search differs: fairseq gives "
                f"{' '.join(first.tokens)!r} ({first.score:.5f}), the exported model "
                f"{' '.join(second.tokens)!r} ({second.score:.5f})"
            )
    return compared
