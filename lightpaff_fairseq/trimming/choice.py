"""Choose the tokens to keep: special ones, what spells any text, and the most frequent."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .cut_list import FIRST
from .subword_files import SubwordFiles

NEVER_USED = re.compile(r"\[unused\d+\]|madeupword\d+")  # fillers, of BERT and of fairseq


@dataclass(frozen=True)
class Choice:
    """The tokens that may be kept.

    Attributes:
        symbols: `(V,)`; counts: in the data, `(V,)`; special: indices.
        dropped: indices that are cut whatever their number: other languages.
        files, target_files: of the tokenizer; a shared dictionary may have two.
    """

    symbols: list[str]
    counts: NDArray[np.int64]
    special: set[int]
    dropped: set[int]
    files: SubwordFiles
    target_files: SubwordFiles

    @cached_property
    def text(self) -> NDArray[np.int64]:
        """The counts of tokens that are not special, `(V,)`."""
        counts = self.counts.copy()
        counts[sorted(self.special | self.dropped)] = 0
        return counts

    def required(self) -> set[int]:
        """Return the tokens that stay whatever their number: special, and the characters."""
        used = [self.symbols[i] for i in np.flatnonzero(self.text)]
        used = [name for name in used if self.files.is_text(name)]
        names = self.files.required(used) | self.target_files.required(used)
        others = set(range(len(self.symbols))) - self.dropped
        return self.special | {i for i in others if self.symbols[i] in names}

    def most_frequent(self, number: int) -> list[int]:
        """Return exactly `number` tokens, ascending; a token stays with those it is merged from.

        Raises:
            ValueError: that is below what is required, or above what there is.
        """
        kept, size = self.required(), len(self.symbols) - len(self.dropped)
        if not len(kept) <= number <= size:
            raise ValueError(
                f"--keep {number}: expected {len(kept):,} ({len(self.special)} special tokens, and "
                f"{len(kept) - len(self.special):,} that spell all words) to {size:,}"
            )
        for token in self._by_frequency():
            group = self._with_parts(token) - kept
            if len(kept) + len(group) <= number:
                kept |= group
        return sorted(kept)

    def covering(self, share: float) -> list[int]:
        """Return the fewest most frequent tokens that make up a share of the data, ascending."""
        kept, counts = self.required(), self.text
        expected, covered = share * counts.sum(), counts[sorted(kept)].sum()
        for token in self._by_frequency():
            if covered >= expected:
                break
            group = self._with_parts(token) - kept
            kept |= group
            covered += counts[sorted(group)].sum()
        return sorted(kept)

    def coverage(self, kept: Iterable[int]) -> float:
        """Return the share of the data's text that is in kept tokens."""
        counts = self.text
        return float(counts[list(kept)].sum() / max(counts.sum(), 1))

    def _by_frequency(self) -> list[int]:
        """Return all tokens but special ones, fillers last; ties keep the dictionary's order."""
        fillers = np.array([bool(NEVER_USED.fullmatch(symbol)) for symbol in self.symbols])
        order = np.lexsort((np.arange(len(fillers)), -self.text, fillers))
        left_out = self.special | self.dropped | set(range(FIRST))
        return [int(i) for i in order if int(i) not in left_out]

    def _with_parts(self, token: int) -> set[int]:
        """Return a token and, all the way down, what it is merged from."""
        numbers, group, waiting = self._numbers, {token}, [token]
        while waiting:
            for part in self.files.parts(self.symbols[waiting.pop()]):
                number = numbers.get(part)
                if number is not None and number not in group:
                    group.add(number)
                    waiting.append(number)
        return group

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols)}
