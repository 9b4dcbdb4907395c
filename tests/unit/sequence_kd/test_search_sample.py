"""Agreement of two backends on a sample."""

from types import SimpleNamespace

import numpy as np
import pytest

from lightpaff_fairseq.sequence_kd import search_sample
from lightpaff_fairseq.sequence_kd.hypotheses import Hypothesis
from lightpaff_fairseq.sequence_kd.search_sample import check_agreement
from lightpaff_fairseq.shards import Block


def rows(*pairs):
    return [Hypothesis(np.array(tokens), score, False) for tokens, score in pairs]


def test_tokens_and_scores_are_compared():
    sample = {i: rows(([4, 5], -0.5), ([4, 6], -0.9)) for i in range(40)}
    other = dict(sample)
    other[0] = rows(([4, 5], -0.5 + 1e-6), ([7], -0.9))
    other[1] = rows(([4, 5], -0.6), ([4, 6], -0.9))
    other[2] = rows(([4], -0.5), ([4, 6], -0.9))
    printed = []
    check_agreement(sample, other, printed.append)
    assert printed == ["ctranslate2 agrees with fairseq on 38 of 40 sentences (all hypotheses: 37)"]
    other[3] = []
    with pytest.raises(ValueError, match="at least 95% of 40 sentences, got 37; use --backend"):
        check_agreement(sample, other, printed.append)


@pytest.mark.parametrize(
    ("size", "numbers"), [(3, [8, 15, 39]), (99, [*range(8, 16), *range(32, 40)])]
)
def test_a_sample_is_spread_over_the_blocks(size, numbers):
    blocks = [Block("b", first, 8) for first in (8, 32)]  # others are finished
    decoder = SimpleNamespace(usable=lambda sources: sources[sources != 33][::-1])
    expected = [number for number in numbers if number != 33]
    assert search_sample._sample(decoder, blocks, size).tolist() == expected
