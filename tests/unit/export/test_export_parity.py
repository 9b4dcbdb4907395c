"""When an exported model counts as the same: every difference, and ties of beam search."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lightpaff_fairseq.export import export_parity
from lightpaff_fairseq.export.engines import Hypothesis, Search, limited

LONGEST = export_parity.SEARCH.longest


class Answers:
    """An engine with given translations and log-probabilities."""

    def __init__(self, hypotheses, log_probs=0.0):
        self.hypotheses, self.value = hypotheses, log_probs

    def run(self, sample):
        return self.hypotheses

    def log_probs(self, sample):
        return [np.full(3, self.value, dtype=np.float32) for _ in self.hypotheses]


def translation(positions):
    model = SimpleNamespace(max_decoder_positions=lambda: positions)
    info = SimpleNamespace(task="translation", named="--path x.pt")
    return SimpleNamespace(info=info, model=model)


def beams(first, second):
    engines, samples = (Answers([first]), Answers([second])), [{"id": torch.arange(1)}]
    return export_parity.compare(translation(1000), *engines, samples, "none").beams


def test_beams_differ_only_in_ties_and_beyond_the_longest():
    a, b = Hypothesis(("x",), -1.0), Hypothesis(("y",), -1.00001)
    assert beams(a, a) == 1 and beams(a, b) == 1
    with pytest.raises(ValueError, match="beam search differs: fairseq gives 'x'"):
        beams(a, Hypothesis(("y",), -1.1))
    assert beams(a, Hypothesis(("x",) * LONGEST, -3.0)) == 0


def test_outputs_are_no_longer_than_there_are_positions():
    assert limited(Search(longest=200), translation(128)).longest == 127
    assert limited(Search(longest=50), translation(128)) == Search(longest=50)
    short = limited(Search(longest=200, shortest=200), translation(128))
    assert (short.shortest, short.longest) == (127, 127)


@pytest.mark.parametrize("value", [2e-4, float("nan"), float("inf")])
def test_every_difference_counts(value):
    engines = Answers([None]), Answers([None], value)
    largest = export_parity.largest_difference(*engines, [{}])
    with pytest.raises(ValueError, match="disagrees with fairseq"):
        export_parity.check_difference("x.pt", largest, "nothing")
