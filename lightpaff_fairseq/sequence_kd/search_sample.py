"""Search a sample of the sources: how long everything will take, and whether backends agree."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..progress import duration
from ..shards import Block, Report
from .ctranslate2_search import CTranslate2Search
from .decode import Decoder, Search
from .fairseq_search import FairseqSearch
from .hypotheses import Hypothesis
from .job import Job
from .seq_kd_request import CTRANSLATE2

SAMPLE = 64  # sentences
SHARE = 16  # a sample for an estimate is at most one in so many sentences
TOLERANCE = 1e-4  # of scores, as in the parity check of an export
AGREEMENT = 0.95  # the smallest share of sentences with the same best hypothesis

Hypotheses = dict[int, list[Hypothesis]]


@dataclass(frozen=True)
class Timed:
    """The hypotheses of a sample by the number of the source, and seconds per sentence."""

    hypotheses: Hypotheses
    seconds: float


def load_decoder(job: Job, blocks: Sequence[Block], report: Report) -> Decoder:
    """Load the teacher, compare backends if there are two, and print an estimate.

    Args:
        blocks: that will be decoded.
        report: prints a line.
    Raises:
        ValueError: see `FairseqSearch`, `Decoder` and `CTranslate2Search`; or CTranslate2 gives
            other hypotheses than fairseq.
    """
    fairseq = FairseqSearch(job)
    decoder = Decoder(job, fairseq)
    count = sum(block.count for block in blocks)
    if job.request.backend == CTRANSLATE2:
        sample = _sample(decoder, blocks, SAMPLE)
        search = CTranslate2Search(job, fairseq)
        first, second = (_search(decoder, x, sample) for x in (fairseq, search))
        check_agreement(first.hypotheses, second.hypotheses, report)
        decoder.search, seconds = search, second.seconds
        search.repeated = 0
    else:
        sample = _sample(decoder, blocks, min(SAMPLE, count // SHARE))
        seconds = _search(decoder, fairseq, sample).seconds
    if seconds:
        report(
            f"{count:,} sentences to decode, about {duration(seconds * count)} or less by a sample"
        )
    return decoder


def check_agreement(first: Hypotheses, second: Hypotheses, report: Report) -> None:
    """Compare the hypotheses of two backends, and print how many are the same.

    Args:
        first: of fairseq; second: of CTranslate2.
    Raises:
        ValueError: fewer than `AGREEMENT` of the sentences have the same best hypothesis.
    """
    count = len(first)
    best = sum(_is_same(first[i][:1], second[i][:1]) for i in first)
    every = sum(_is_same(first[i], second[i]) for i in first)
    if best < AGREEMENT * count:
        raise ValueError(
            f"--backend ctranslate2: expected fairseq's best hypothesis and score for at least "
            f"{AGREEMENT:.0%} of {count} sentences, got {best}; use --backend fairseq"
        )
    report(
        f"ctranslate2 agrees with fairseq on {best} of {count} sentences (all hypotheses: {every})"
    )


def _is_same(first: Sequence[Hypothesis], second: Sequence[Hypothesis]) -> bool:
    """Return whether two lists have the same tokens, and scores that differ by rounding only."""
    pairs = list(zip(first, second, strict=False))
    return len(first) == len(second) and all(
        np.array_equal(a.tokens, b.tokens)
        and np.isclose(a.score, b.score, rtol=TOLERANCE, atol=TOLERANCE)
        for a, b in pairs
    )


def _sample(decoder: Decoder, blocks: Sequence[Block], size: int) -> NDArray[Any]:
    """Return the usable ones of up to `size` sources, evenly spaced over the blocks."""
    ends = np.cumsum([block.count for block in blocks])
    places = np.linspace(0, ends[-1] - 1, min(size, int(ends[-1]))).astype(np.int64)
    inside = np.searchsorted(ends, places, side="right")
    firsts = np.array([block.first + block.count for block in blocks]) - ends
    return np.sort(decoder.usable(places + firsts[inside]))


def _search(decoder: Decoder, search: Search, sample: NDArray[Any]) -> Timed:
    samples = list(decoder.samples(sample)) if len(sample) else []
    begin = time.perf_counter()
    hypotheses = {i: x for answers in search.run(samples) for i, x in answers}
    seconds = time.perf_counter() - begin
    return Timed(hypotheses, seconds / max(1, len(sample)))
