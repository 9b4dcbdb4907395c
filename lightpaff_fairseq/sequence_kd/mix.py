"""Select original pairs to mix with the distilled ones."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def original_pairs(distilled: int, originals: int, share: float, seed: int) -> NDArray[np.int64]:
    """Draw original pairs such that they are `share` of all pairs.

    All distilled pairs are kept. If more originals are needed than exist, each is repeated equally
    often, and the remainder is drawn without replacement.

    Args:
        distilled, originals: numbers of pairs.
        share: of originals among all pairs, 0 (none) to below 1; seed: of the draw.
    Returns:
        `(n,)` numbers of original pairs, ascending; n is rounded so that n / (n + distilled) is
        closest to `share`.
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
