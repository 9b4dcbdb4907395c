"""Agreement of two backends on a sample."""

import numpy as np
import pytest

from lightpaff_fairseq.sequence_kd.hypotheses import Hypothesis
from lightpaff_fairseq.sequence_kd.search_sample import check_agreement


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
