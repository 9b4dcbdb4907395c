"""Measure the beam sizes of an exported translation model, and choose one to serve it with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ..flags import at_least
from ..progress import Progress
from ..timing import interleaved_times
from .engines import Engine
from .export_quality import Quality
from .sample_batches import Sample

AUTO = "auto"
BEAMS = (1, 2, 5)  # that are measured; the quality of the last is the reference
REFERENCE = BEAMS[-1]
ROUNDS = 2  # of timing; the faster one counts, since other jobs can only slow a round down
FLOAT = "float"
SHORTLIST = ", shortlist"  # after the weights of a row


@dataclass(frozen=True)
class SearchRow:
    """One measured way to run an exported model.

    Attributes:
        weights: `float` or the quantization, and `SHORTLIST` for a search with a shortlist.
        sentences_per_s: in batches of similar length.
    """

    weights: str
    beam: int
    bleu: float
    sentences_per_s: float


def beam_problem(beam: str) -> str | None:
    """Return a message if a value of --beam is neither auto nor a beam size."""
    if beam == AUTO:
        return None
    expected = f"{AUTO}, or 1 or more"
    if not (beam.isascii() and beam.isdecimal()):
        return f"--beam {beam}: expected {expected}"
    problem = at_least(1).problem("--beam", int(beam))
    return problem and f"--beam {beam}: expected {expected}"


def beams_to_measure(beam: str) -> tuple[int, ...]:
    """Return the beam sizes to measure for a value of --beam; the last is the reference."""
    return BEAMS if beam == AUTO else (int(beam),)


def measure(
    engines: dict[tuple[str, int], Engine],
    samples: Sequence[Sample],
    score: Callable[[list[Sequence[Any]]], Quality],
) -> list[SearchRow]:
    """Score and time loaded models on the same sentences, in turn.

    With one thread, CPU time is taken, which other jobs on the machine do not change.

    Args:
        engines: by (weights, beam size).
        score: computes the quality of the outputs of all batches.
    """
    outputs: dict[tuple[str, int], list[Sequence[Any]]] = {}
    count = sum(len(sample["id"]) for sample in samples)
    progress = Progress("measuring beam sizes", count * len(engines) * ROUNDS, "")

    def run(key: tuple[str, int]) -> None:
        outputs[key] = []
        for sample in samples:
            outputs[key].append(engines[key].run(sample))
            progress.advance(len(sample["id"]), f"{key[0]}, beam {key[1]}")

    names = {f"{weights} {beam}": (weights, beam) for weights, beam in engines}
    with progress:
        variants = {name: partial(run, key) for name, key in names.items()}
        clock = "cpu" if torch.get_num_threads() == 1 else "wall"
        times = interleaved_times(variants, ROUNDS, warmups=0, clock=clock)
    return [
        SearchRow(*key, score(outputs[key]).score, round(count / min(times[name]), 1))
        for name, key in names.items()
    ]


def choose(rows: Sequence[SearchRow], reference: Quality, max_drop: float) -> SearchRow:
    """Return the fastest row that loses at most `max_drop`, or the best one if none does."""
    within = [row for row in rows if reference.score - row.bleu <= max_drop]
    if within:
        return max(within, key=lambda row: row.sentences_per_s)
    return max(rows, key=lambda row: row.bleu)
