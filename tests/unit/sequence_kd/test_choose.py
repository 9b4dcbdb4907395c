"""Similarity to the reference, selection of hypotheses, and what is dropped."""

import copy
import math
from collections import Counter

import numpy as np
import pytest
from fairseq.data import Dictionary

from lightpaff_fairseq.sequence_kd import choose
from lightpaff_fairseq.sequence_kd.choose import Choice, Chooser, similarity
from lightpaff_fairseq.sequence_kd.hypotheses import Hypothesis

EOS = 2


@pytest.fixture(scope="module")
def dictionary():
    words = Dictionary()
    for symbol in ("▁the", "▁cat", "s", "▁sat", "▁down", "▁a", "▁dog", "."):
        words.add_symbol(symbol)
    return words


def tokens(*numbers):
    return np.array(numbers, dtype=np.int64)


def naive_bleu(hypothesis, reference):
    """BLEU of one sentence: the k-th precision that is 0 counts as half of the one before it would
    with a single match (1 / 2^k), orders that the sentence does not have are left out."""
    log, orders, zeros = 0.0, min(4, len(hypothesis)), 0
    if not set(hypothesis) & set(reference):
        return 0.0
    for n in range(1, orders + 1):
        grams = [
            Counter(tuple(x[i : i + n]) for i in range(len(x) - n + 1))
            for x in (hypothesis, reference)
        ]
        matches = sum((grams[0] & grams[1]).values())
        if not matches:
            zeros += 1
            matches = 0.5**zeros
        log += math.log(matches / sum(grams[0].values())) / orders
    return 100 * math.exp(log + min(0.0, 1 - len(reference) / len(hypothesis)))


def test_similarity_is_sentence_bleu_of_tokens(dictionary):
    rng, compare = np.random.default_rng(0), similarity("bleu", dictionary, None)
    for _ in range(50):
        pair = [rng.integers(4, 12, rng.integers(1, 9)) for _ in range(2)]
        assert compare(*pair) == pytest.approx(naive_bleu(*map(tuple, pair)), abs=1e-6)


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_post_process_joins_tokens_to_words(dictionary, metric):
    """`cat s` and `cats` are other tokens, but one word."""
    dictionary = copy.deepcopy(dictionary)
    dictionary.add_symbol("▁cats")
    cats = dictionary.index("▁cats")
    words = similarity(metric, dictionary, "sentencepiece")
    assert words(tokens(4, 5, 6, 7), tokens(4, cats, 7)) == pytest.approx(100)
    if metric == "bleu":  # chrF does not see spaces
        pieces = similarity(metric, dictionary, None)
        assert pieces(tokens(4, 5, 6, 7), tokens(4, cats, 7)) < 100


class Pairs:
    """A corpus of one pair."""

    def __init__(self, source, reference=()):
        self._source, self._reference = tokens(*source, EOS), tokens(*reference, EOS)

    def source(self, _index):
        return self._source

    def reference(self, _index):
        return self._reference


def hypotheses(*rows, cut=False):
    return [Hypothesis(tokens(*row), -float(i), cut) for i, row in enumerate(rows)]


def chosen(choice, stored, corpus, dictionary):
    chooser = Chooser(choice, dictionary, corpus, similarity("bleu", dictionary, None))
    targets = chooser.targets(0, stored)
    return [tuple(x.tolist()) for x in targets], dict(chooser.dropped)


def test_the_best_or_the_most_similar_are_chosen(dictionary):
    stored = hypotheses((4, 5), (7, 8, 9, 10), (7, 8, 9, 11), (7, 8, 9, 10))
    corpus = Pairs((4, 5, 6), (7, 8, 9, 10))
    for by, nbest, expected in (
        ("score", 1, [(4, 5)]),
        ("score", 2, [(4, 5), (7, 8, 9, 10)]),
        ("reference", 1, [(7, 8, 9, 10)]),
        ("reference", 3, [(7, 8, 9, 10), (7, 8, 9, 10), (7, 8, 9, 11)]),
    ):
        assert chosen(Choice(by, nbest), stored, corpus, dictionary) == (expected, {})


@pytest.mark.parametrize(
    "choice,stored,reason",
    [
        (Choice(), [], choose.TOO_LONG),
        (Choice(), hypotheses(()), choose.EMPTY),
        (Choice(), hypotheses((4, 5), cut=True), choose.CUT),
        (Choice(keep_cut=True), hypotheses((4, 5), cut=True), None),
        (Choice(), hypotheses((4, EOS, 5)), choose.FOREIGN),
        (Choice(), hypotheses((4, 12)), choose.FOREIGN),
        (Choice(), hypotheses((4, 3, 11)), None),  # <unk> is an ordinary token
        (Choice(max_ratio=2), hypotheses((4,) * 8), None),
        (Choice(max_ratio=2), hypotheses((4,) * 9), choose.RATIO),
        (Choice(min_ratio=0.5), hypotheses((4,) * 2), None),
        (Choice(min_ratio=0.5), hypotheses((4,)), choose.RATIO),
        (Choice(), hypotheses((4,) * 99), None),
    ],
    ids=lambda x: "" if isinstance(x, list) else str(x),
)
def test_what_is_dropped_is_counted_by_reason(choice, stored, reason, dictionary):
    targets, dropped = chosen(choice, stored, Pairs((5, 6, 7, 8)), dictionary)
    assert dropped == ({reason: 1} if reason else {})
    assert len(targets) == (0 if reason else 1)


def test_chosen_and_dropped_add_up(dictionary):
    stored = hypotheses((4,), (), (5,), (EOS,))
    targets, dropped = chosen(Choice(nbest=3), stored, Pairs((5,)), dictionary)
    assert targets == [(4,), (5,)] and dropped == {choose.EMPTY: 1}
