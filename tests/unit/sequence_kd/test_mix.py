"""Shares of original pairs beside the distilled ones."""

import numpy as np
import pytest

from lightpaff_fairseq.sequence_kd.mix import original_pairs


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("distilled,originals", [(100, 100), (1000, 100), (7, 30)])
def test_share_of_originals(share, distilled, originals):
    chosen = original_pairs(distilled, originals, share, seed=1)
    assert abs(len(chosen) - share * (len(chosen) + distilled)) <= 0.5
    counts = np.bincount(chosen, minlength=originals)
    assert counts.max() - counts.min() <= 1 and len(counts) == originals
    assert np.array_equal(chosen, np.sort(chosen))
    assert np.array_equal(chosen, original_pairs(distilled, originals, share, seed=1))


def test_which_originals_depends_on_the_seed_and_half_is_all_of_them():
    assert not np.array_equal(*(original_pairs(50, 100, 0.5, seed=x) for x in (1, 2)))
    assert np.array_equal(original_pairs(100, 100, 0.5, seed=3), np.arange(100))
