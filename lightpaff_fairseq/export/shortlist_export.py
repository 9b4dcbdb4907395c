"""Build the lexical shortlist of an export, and measure it."""

import time
from dataclasses import dataclass, replace

from .engines import Engine
from .export_quality import Labels
from .export_request import FREQUENT, TARGETS, ExportRequest
from .loaded_model import LoadedModel
from .sample_batches import split_samples
from .shortlist import Shortlist
from .shortlist_report import ShortlistReport, compare_searches, coverage_of
from .shortlist_rules import build_shortlist, unwritable
from .training_pairs import load_pairs

BATCHES = (1, 16)  # sentences, to measure: a batch may use the targets of all its sentences


@dataclass(frozen=True)
class BuiltShortlist:
    """A shortlist, the number of pairs it is built from, and the seconds that took.

    Attributes:
        skipped: see `ShortlistReport`.
    """

    shortlist: Shortlist
    pairs: int
    seconds: float
    skipped: int


def build(request: ExportRequest, student: LoadedModel) -> BuiltShortlist | None:
    """Build the shortlist from the pairs of --shortlist; return None without that flag.

    Raises:
        ValueError: the pairs cannot be used, see `load_pairs` and `build_shortlist`.
    """
    if request.shortlist is None:
        return None
    start = time.perf_counter()
    pairs = load_pairs(student, request.shortlist, "--shortlist")
    limits = request.shortlist_targets or TARGETS, request.shortlist_frequent or FREQUENT
    shortlist = build_shortlist(pairs, *limits)
    skipped = unwritable(pairs.source) + unwritable(pairs.target)
    return BuiltShortlist(shortlist, len(pairs), time.perf_counter() - start, skipped)


def measure_shortlist(
    built: BuiltShortlist, labels: Labels, sentences: int, engines: tuple[Engine, Engine]
) -> ShortlistReport:
    """Search a split without and with the shortlist, in batches of `BATCHES` sentences.

    Args:
        sentences: from the beginning of the split; 0: all.
        engines: the exported model without and with the shortlist.
    """
    student, shortlist = labels.student, built.shortlist
    scores = []
    for size in BATCHES:
        samples = split_samples(student, labels.subset, sentences, size)
        batches = replace(labels, samples=samples)
        result, outputs = compare_searches(batches, shortlist, engines)
        scores.append(result)
        if size == 1:
            coverage = coverage_of(batches, shortlist, outputs)
    return ShortlistReport(
        pairs=built.pairs,
        seconds=round(built.seconds, 1),
        rules=len(shortlist.rules),
        entries=shortlist.entries,
        skipped=built.skipped,
        coverage=coverage,
        scores=tuple(scores),
    )
