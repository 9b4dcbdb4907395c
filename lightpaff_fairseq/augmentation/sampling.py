"""Draw the copies of a sample from proposed words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sequence_kd.corpus import Tokens
from .proposals import Proposals


@dataclass(frozen=True)
class Sampling:
    """How copies are drawn; see the flags of `AugmentRequest`."""

    copies: int
    probability: float
    seed: int

    def copies_of(
        self, sample: int, sentences: Sequence[Tokens], proposals: Sequence[Proposals]
    ) -> list[list[Tokens]]:
        """Return copies of the sentences of a sample, no two alike and none like the original.

        Every word is replaced with the same probability, by one of its proposals, each as
        probable; a copy has at least one replaced word. Copies depend on seed and sample alone,
        and more copies begin with the same ones.

        Args:
            sample: its number.
            sentences: its one or two sentences; proposals: those for each.
        Returns:
            up to `copies` of them: none if no word can be replaced.
        """
        counts = [len(x.positions) for x in proposals]
        total, ends = sum(counts), np.cumsum(counts)[:-1]
        if not total:
            return []
        rng = np.random.default_rng([self.seed, sample])
        known, copies = {_key(sentences)}, []
        for _ in range(self.copies):
            replaced = rng.random(total) < self.probability
            replaced[rng.integers(total)] |= not replaced.any()
            choice = rng.integers(proposals[0].symbols.shape[1], size=total)
            parts = zip(
                sentences, proposals, np.split(replaced, ends), np.split(choice, ends), strict=True
            )
            copy = [_replace(*part) for part in parts]
            if _key(copy) not in known:
                known.add(_key(copy))
                copies.append(copy)
        return copies


def _replace(
    sentence: Tokens, proposals: Proposals, replaced: NDArray[np.bool_], choice: Tokens
) -> Tokens:
    copy = sentence.copy()
    rows = np.flatnonzero(replaced)
    copy[proposals.positions[rows]] = proposals.symbols[rows, choice[rows]]
    return copy


def _key(sentences: Sequence[Tokens]) -> tuple[bytes, ...]:
    return tuple(sentence.tobytes() for sentence in sentences)
