"""Selection of the original pairs that join the distilled ones."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def original_pairs(distilled: int, originals: int, share: float, seed: int) -> NDArray[np.int64]:
    """Select original pairs, so that they are `share` of the whole.

    No distilled pair is left out for them. Where more are needed than there are, every one is taken
    equally often, and the remainder is drawn without replacement; which ones depends on the seed
    alone.

    Args:
        distilled: number of distilled pairs; originals: of the original ones.
        share: of originals in the whole, 0 (none) to below 1; seed: of the draw.
    Returns:
        `(n,)` numbers of original pairs, ascending; n / (n + distilled) is the share, n rounded.
    """
    exact = Fraction(str(share))
    count = round(exact / (1 - exact) * distilled)
    if not count:
        return np.empty(0, dtype=np.int64)
    times, rest = divmod(count, originals)
    drawn = np.random.default_rng(seed).permutation(originals)[:rest]
    counts = np.full(originals, times, dtype=np.int64)
    counts[drawn] += 1
    return np.repeat(np.arange(originals, dtype=np.int64), counts)
