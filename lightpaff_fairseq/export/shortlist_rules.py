"""Build a lexical shortlist from word-aligned training pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from fairseq.data import Dictionary
from numpy.typing import NDArray

from .shortlist import ALWAYS, Shortlist, is_writable
from .training_pairs import Ids, TrainingPairs
from .word_alignment import align

PAIRS = 1_000_000  # at most: more take longer and hardly add rules
SEEN = 2  # times that a target was aligned to a pair of source tokens, at least
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Links:
    """Aligned tokens, `(N,)` ids each; `before`, `after`: neighbors of the source token, or -1."""

    before: Ids
    source: Ids
    after: Ids
    target: Ids


def build_shortlist(pairs: TrainingPairs, targets: int, frequent: int) -> Shortlist:
    """Allow target tokens that are aligned to source tokens, or to one of two adjacent ones.

    Args:
        targets: maximum target tokens per source token, and more per pair of source tokens.
        frequent: number of the most frequent target tokens, which are always allowed.
    Raises:
        ValueError: the pairs have no target token that can be written.
    """
    sentences = list(pairs.sentences(PAIRS))
    usable = usable_ids(pairs.source), usable_ids(pairs.target)
    always = _most_frequent([target for _, target in sentences], usable[1], frequent)
    links = _select(_links(sentences), usable[1] & ~_mask(always, len(usable[1])))
    singles = _single_rules(links, usable, targets)
    doubles = _double_rules(links, usable, targets, _code(*singles, len(usable[1])))
    sides = pairs.source.symbols, pairs.target.symbols
    rules: dict[tuple[str, ...], list[str]] = {ALWAYS: [sides[1][i] for i in always]}
    for keys, chosen in ((singles[:1], singles[1]), (doubles[:2], doubles[2])):
        for *key, target in zip(*(ids.tolist() for ids in (*keys, chosen)), strict=True):
            rules.setdefault(tuple(sides[0][i] for i in key), []).append(sides[1][target])
    return Shortlist(rules)


def usable_ids(dictionary: Dictionary) -> Mask:
    """Return which ids `(V,)` a rule can hold: ordinary, writable, and not of a repeated token."""
    tokens, first = dictionary.symbols, dictionary.nspecial
    unique = (dictionary.index(token) == i for i, token in enumerate(tokens))
    usable = [i >= first and is_writable(tokens[i]) and x for i, x in enumerate(unique)]
    return np.array(usable)


def unwritable(dictionary: Dictionary) -> int:
    """Return the number of a dictionary's tokens that a rule cannot hold."""
    return sum(not is_writable(token) for token in dictionary.symbols)


def _most_frequent(sentences: Sequence[Ids], usable: Mask, number: int) -> Ids:
    counts = np.bincount(np.concatenate(sentences), minlength=len(usable)) * usable
    best: Ids = np.argsort(-counts, kind="stable")[: min(number, np.count_nonzero(counts))]
    return best


def _mask(ids: Ids, size: int) -> Mask:
    mask = np.zeros(size, dtype=bool)
    mask[ids] = True
    return mask


def _links(sentences: Sequence[tuple[Ids, Ids]]) -> _Links:
    columns: list[tuple[Ids, ...]] = []
    for (source, target), (i, j) in zip(sentences, align(sentences), strict=True):
        around = np.concatenate([[-1], source, [-1]])
        columns.append((around[i], source[i], around[i + 2], target[j]))
    return _Links(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _select(links: _Links, targets: Mask) -> _Links:
    """Keep the links of some target ids."""
    kept = targets[links.target]
    return _Links(links.before[kept], links.source[kept], links.after[kept], links.target[kept])


def _single_rules(links: _Links, usable: tuple[Mask, Mask], number: int) -> tuple[Ids, Ids]:
    """Return source and target ids of the rules for single tokens, `(N,)` each."""
    kept = usable[0][links.source]
    return _top(links.source[kept], links.target[kept], len(usable[1]), (number, 1))


def _double_rules(
    links: _Links, usable: tuple[Mask, Mask], number: int, allowed: Ids
) -> tuple[Ids, Ids, Ids]:
    """Return source ids and the target id of the rules for pairs of tokens, `(N,)` each.

    Args:
        allowed: codes of the targets that single tokens allow, which need no rule.
    """
    first = np.concatenate([links.before, links.source])
    second = np.concatenate([links.source, links.after])
    target = np.tile(links.target, 2)
    sizes = len(usable[0]), len(usable[1])
    kept = (first >= 0) & (second >= 0)
    kept &= usable[0][first] & usable[0][second]
    for side in (first, second):
        kept &= ~np.isin(_code(side, target, sizes[1]), allowed)
    keys = _code(first[kept], second[kept], sizes[0])
    keys, target = _top(keys, target[kept], sizes[1], (number, SEEN))
    return keys // sizes[0], keys % sizes[0], target


def _code(first: Ids, second: Ids, size: int) -> Ids:
    """Return one number per pair of ids; `size`: number of the second ids."""
    return first * size + second


def _top(keys: Ids, targets: Ids, size: int, limits: tuple[int, int]) -> tuple[Ids, Ids]:
    """Return the targets that are most often with a key, sorted by key.

    Args:
        size: number of target ids.
        limits: maximum targets per key, and minimum times per target.
    """
    codes, counts = np.unique(_code(keys, targets, size), return_counts=True)
    codes, counts = codes[counts >= limits[1]], counts[counts >= limits[1]]
    order = np.lexsort((-counts, codes // size))
    keys, targets = codes[order] // size, codes[order] % size
    rank = np.arange(len(keys)) - np.searchsorted(keys, keys)
    return keys[rank < limits[0]], targets[rank < limits[0]]
