"""Align the tokens of sentence pairs with fast_align's model, which sil-thot trains.

Source: C. Dyer, V. Chahuneau, N. Smith: A simple, fast, and effective reparameterization of IBM
model 2 (2013).
"""

import importlib.util
from collections.abc import Iterator, Sequence

import numpy as np

from .training_pairs import Ids

ITERATIONS = 5  # fast_align's own default
CHUNK = 1000  # sentences


def aligner_problem(flag: str) -> str | None:
    """Return a message that begins with `flag` if the aligner is not installed, else None."""
    if importlib.util.find_spec("thot") is not None:
        return None
    return f"{flag}: needs the package sil-thot: pip install 'lightpaff-fairseq[shortlist]'"


def align(pairs: Sequence[tuple[Ids, Ids]]) -> Iterator[tuple[Ids, Ids]]:
    """Yield the positions of aligned source and target tokens, `(N,)` each, for every pair.

    Every target token is aligned to one source token or to none. Pairs with an empty side, or with
    one of more than 1,024 tokens, have no alignment.

    Args:
        pairs: ids of the source `(S,)` and of the target `(T,)`.
    """
    from thot.alignment import FastAlignModel

    words = [(_words(source), _words(target)) for source, target in pairs]
    model = FastAlignModel()
    for source, target in words:
        model.add_sentence_pair(source, target)
    model.start_training()
    for _ in range(ITERATIONS):
        model.train()
    model.end_training()
    for start in range(0, len(words), CHUNK):
        sources, targets = zip(*words[start : start + CHUNK], strict=True)
        for _, matrix in model.get_best_alignments(sources, targets):
            i, j = (np.asarray(ids, dtype=np.int64) for ids in np.nonzero(matrix.to_numpy()))
            yield i, j


def _words(ids: Ids) -> list[str]:
    return [str(i) for i in ids.tolist()]
