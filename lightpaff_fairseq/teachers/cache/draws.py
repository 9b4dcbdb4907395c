"""The encoding of draws in a cache (`SAMPLES`): three bytes per distinct token.

An entry is the number count * V + token. The entries of a position are those of the distinct tokens
of its draws, in the order of the tokens; their counts sum to the number of draws, which is how a
reader knows where the position ends. Shape letters: N positions, n of a chunk, E entries.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ENTRY = np.dtype([("low", "<u2"), ("high", "u1")])
LARGEST = 2**24


def most_draws(vocab: int) -> int:
    """Return the largest number of draws whose counts fit into an entry."""
    return LARGEST // vocab - 1


def uniform_numbers(
    seed: int, epoch: int, samples: Sequence[int], counts: Sequence[int], draws: int
) -> NDArray[np.float64]:
    """Return `(sum(counts), draws)` numbers in [0, 1), a function of seed, epoch and sample.

    Args:
        samples: their numbers; counts: of predicted positions per sample.
    """
    parts = [
        np.random.default_rng((seed, epoch, number)).random((count, draws))
        for number, count in zip(samples, counts, strict=True)
    ]
    return np.concatenate([np.empty((0, draws)), *parts])


def encode_draws(
    probs: Tensor, numbers: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Draw tokens by the inverse of the cumulative distribution.

    Args:
        probs: `(n, V)` of the teacher; numbers: `(n, draws)` in [0, 1).
    Returns:
        `(E,)` entries of all positions, and `(n,)` numbers of entries per position.
    """
    vocab = probs.size(1)
    sums = probs.double().cumsum(-1)
    points = torch.from_numpy(numbers).to(sums) * sums[:, -1:]
    tokens = torch.searchsorted(sums, points, right=True).clamp_max_(vocab - 1).cpu().numpy()
    keys = tokens + vocab * np.arange(len(tokens))[:, None]
    distinct, counts = np.unique(keys, return_counts=True)
    codes = counts * vocab + distinct % vocab
    entries = np.empty(len(codes), ENTRY)
    entries["low"], entries["high"] = codes & 0xFFFF, codes >> 16
    return entries, np.bincount(distinct // vocab, minlength=len(tokens)).astype(np.int64)


def decode_samples(
    entries: NDArray[Any], lengths: NDArray[np.int64], vocab: int, draws: int
) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
    """Return the draws of some samples, position by position.

    Columns that a position does not need repeat token 0 with share 0.

    Args:
        entries: `(E,)`; lengths: of them per sample.
    Returns:
        tokens `(N, k)` and their shares of the draws, k the most of any position, and the number of
        positions per sample.
    Raises:
        ValueError: the counts of a position do not sum to the number of draws.
    """
    codes = entries["low"].astype(np.int64) | entries["high"].astype(np.int64) << 16
    counts, tokens = np.divmod(codes, vocab)
    ends = counts.cumsum()
    positions = (ends - 1) // draws
    drawn = np.concatenate([[0], ends])[np.concatenate([[0], lengths.cumsum()])]
    if not np.array_equal(positions, (ends - counts) // draws) or (drawn % draws).any():
        raise ValueError(f"corrupt: the counts of a position do not sum to {draws} draws")
    size = int(drawn[-1]) // draws
    per_position = np.bincount(positions, minlength=size)
    columns = np.arange(len(positions)) - (per_position.cumsum() - per_position)[positions]
    shape = (size, int(per_position.max(initial=1)))
    ids, shares = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    ids[positions, columns], shares[positions, columns] = tokens, counts / draws
    return torch.from_numpy(ids), torch.from_numpy(shares), np.diff(drawn) // draws
