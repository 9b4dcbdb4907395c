"""Compare an exported model with fairseq: they must agree up to rounding."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .engines import Engine, Floats, Search, limited
from .loaded_model import TRANSLATION, LoadedModel
from .sample_batches import Sample

TOLERANCE = 1e-4  # of log-probabilities in float32
# Empty outputs are allowed: otherwise CTranslate2, unlike fairseq, renormalizes the probabilities
# of the first token without eos.
SEARCH = Search(beam=5, longest=100, shortest=0)


@dataclass(frozen=True)
class Parity:
    """The result of a comparison.

    Attributes:
        sentences: their number, 0 if unknown; `inputs`: their description.
        largest_difference: of log-probabilities, or of the outputs of a regression.
        beams: number of equal translations, without those cut at the length limit; None: not a
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
        reference, exported: for translation both with `limited(SEARCH)`.
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
            f"{named}: the exported model disagrees with fairseq: expected a largest difference of "
            f"at most {TOLERANCE:.0e}, got {largest:.1e} on {inputs}"
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
    """Count equal translations that end before the length limit, where only fairseq forces eos.

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
