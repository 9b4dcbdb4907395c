"""The parts of sequence-level distillation: similarity, filters, shares, files."""

import math
import time
from collections import Counter

import numpy as np
import pytest
from fairseq.data import Dictionary

from lightpaff_fairseq.sequence_kd import choose
from lightpaff_fairseq.sequence_kd.choose import Choice, Chooser, similarity
from lightpaff_fairseq.sequence_kd.mix import original_pairs
from lightpaff_fairseq.sequence_kd.output import check_output
from lightpaff_fairseq.sequence_kd.plan import Plan
from lightpaff_fairseq.sequence_kd.run import Progress
from lightpaff_fairseq.sequence_kd.store import Answer, Hypothesis, read_block, write_block

EOS = 2


@pytest.fixture(scope="module")
def dictionary():
    words = Dictionary()
    for symbol in ("▁the", "▁cat", "s", "▁sat", "▁down", "▁a", "▁dog", "."):
        words.add_symbol(symbol)
    return words


def symbols(*numbers):
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


def test_similarity_is_sentence_bleu_of_symbols(dictionary):
    rng, compare = np.random.default_rng(0), similarity("bleu", dictionary, None)
    for _ in range(50):
        pair = [rng.integers(4, 12, rng.integers(1, 9)) for _ in range(2)]
        assert compare(*pair) == pytest.approx(naive_bleu(*map(tuple, pair)), abs=1e-6)


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_post_process_joins_symbols_to_words(dictionary, metric):
    """`cat s` and `cats` are other symbols, but one word."""
    dictionary.add_symbol("▁cats")
    cats = dictionary.index("▁cats")
    words = similarity(metric, dictionary, "sentencepiece")
    assert words(symbols(4, 5, 6, 7), symbols(4, cats, 7)) == pytest.approx(100)
    if metric == "bleu":  # chrF does not see spaces
        pieces = similarity(metric, dictionary, None)
        assert pieces(symbols(4, 5, 6, 7), symbols(4, cats, 7)) < 100


class Pairs:
    """A corpus of one pair."""

    def __init__(self, source, reference=()):
        self._source, self._reference = symbols(*source, EOS), symbols(*reference, EOS)

    def source(self, _index):
        return self._source

    def reference(self, _index):
        return self._reference


def hypotheses(*rows, cut=False):
    return [Hypothesis(symbols(*row), -float(i), cut) for i, row in enumerate(rows)]


def chosen(choice, found, corpus, dictionary):
    chooser = Chooser(choice, (12, {0, 1, EOS}), corpus, similarity("bleu", dictionary, None))
    targets = chooser.targets(0, Answer(0, found))
    return [tuple(x.tolist()) for x in targets], dict(chooser.dropped)


def test_the_best_or_the_most_similar_are_chosen(dictionary):
    found = hypotheses((4, 5), (7, 8, 9, 10), (7, 8, 9, 11), (7, 8, 9, 10))
    corpus = Pairs((4, 5, 6), (7, 8, 9, 10))
    for by, nbest, wanted in (
        ("score", 1, [(4, 5)]),
        ("score", 2, [(4, 5), (7, 8, 9, 10)]),
        ("reference", 1, [(7, 8, 9, 10)]),
        ("reference", 3, [(7, 8, 9, 10), (7, 8, 9, 10), (7, 8, 9, 11)]),
    ):
        assert chosen(Choice(by, nbest), found, corpus, dictionary) == (wanted, {})


@pytest.mark.parametrize(
    "choice,found,reason",
    [
        (Choice(), [], choose.TOO_LONG),
        (Choice(), hypotheses(()), choose.EMPTY),
        (Choice(), hypotheses((4, 5), cut=True), choose.CUT),
        (Choice(keep_cut=True), hypotheses((4, 5), cut=True), None),
        (Choice(), hypotheses((4, EOS, 5)), choose.FOREIGN),
        (Choice(), hypotheses((4, 12)), choose.FOREIGN),
        (Choice(), hypotheses((4, 3, 11)), None),  # <unk> is an ordinary symbol
        (Choice(max_ratio=2), hypotheses((4,) * 8), None),
        (Choice(max_ratio=2), hypotheses((4,) * 9), choose.RATIO),
        (Choice(min_ratio=0.5), hypotheses((4,) * 2), None),
        (Choice(min_ratio=0.5), hypotheses((4,)), choose.RATIO),
        (Choice(), hypotheses((4,) * 99), None),
    ],
    ids=lambda x: "" if isinstance(x, list) else str(x),
)
def test_what_is_dropped_is_counted_by_reason(choice, found, reason, dictionary):
    targets, dropped = chosen(choice, found, Pairs((5, 6, 7, 8)), dictionary)
    assert dropped == ({reason: 1} if reason else {})
    assert len(targets) == (0 if reason else 1)


def test_chosen_and_dropped_add_up(dictionary):
    found = hypotheses((4,), (), (5,), (EOS,))
    targets, dropped = chosen(Choice(nbest=3), found, Pairs((5,)), dictionary)
    assert targets == [(4,), (5,)] and dropped == {choose.EMPTY: 1}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("distilled,originals", [(100, 100), (1000, 100), (7, 30)])
def test_share_of_originals(share, distilled, originals):
    found = original_pairs(distilled, originals, share, seed=1)
    assert abs(len(found) - share * (len(found) + distilled)) <= 0.5
    counts = np.bincount(found, minlength=originals)
    assert counts.max() - counts.min() <= 1 and len(counts) == originals
    assert np.array_equal(found, np.sort(found))
    assert np.array_equal(found, original_pairs(distilled, originals, share, seed=1))


def test_which_originals_depends_on_the_seed_and_half_is_all_of_them():
    assert not np.array_equal(*(original_pairs(50, 100, 0.5, seed=x) for x in (1, 2)))
    assert np.array_equal(original_pairs(100, 100, 0.5, seed=3), np.arange(100))


def test_a_block_comes_back_as_it_was(tmp_path):
    answers = [
        Answer(2**32 - 1, hypotheses((4, 70_000), ())),
        Answer(0, []),
        Answer(5, hypotheses((9,), cut=True)),
    ]
    write_block(tmp_path / "b.npz", answers)
    assert [path.name for path in tmp_path.iterdir()] == ["b.npz"]
    assert plain(read_block(tmp_path / "b.npz", 3)) == plain(answers)
    write_block(tmp_path / "none.npz", [Answer(1, [])])
    assert plain(read_block(tmp_path / "none.npz", 1)) == [(1, [])]


def plain(answers):
    return [
        (x.source, [(h.symbols.tolist(), h.score, h.cut) for h in x.hypotheses]) for x in answers
    ]


def test_every_flipped_byte_of_a_block_is_found_or_harmless(tmp_path):
    """The zip container's own fields (dates, versions) are not the hypotheses'."""
    path = tmp_path / "b.npz"
    answers = [Answer(i, hypotheses((4, 5 + i), (6,))) for i in range(5)]
    write_block(path, answers)
    content = path.read_bytes()
    found = 0
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        try:
            assert plain(read_block(path, 5)) == plain(answers)
        except ValueError:
            found += 1
    assert found > len(content) / 7 / 3
    with pytest.raises(ValueError, match="expected answers to 4 sources, found 5"):
        path.write_bytes(content)
        read_block(path, 4)
    with pytest.raises(ValueError, match="damaged"):
        read_block(tmp_path / "missing.npz", 1)


def test_blocks_cover_every_sentence_once():
    for sentences in (1, 8, 9, 30):
        blocks = Plan({}, {}, {}, sentences, 8).blocks
        covered = [i for first, count in blocks for i in range(first, first + count)]
        assert covered == list(range(sentences)) and max(n for _, n in blocks) <= 8


def test_an_empty_folder_may_be_written_to(tmp_path):
    (tmp_path / "out").mkdir()
    check_output(tmp_path / "out", tmp_path / "data", overwrite=False)


def test_progress_is_told_within_a_block_but_not_for_every_batch(monkeypatch):
    said, now = [], [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    progress = Progress(200, said.append)
    for sentences, seconds in ((10, 5.0), (20, 10.0), (50, 25.0), (60, 30.0)):
        now[0] = 100 + seconds
        progress.within(40, sentences)
    assert said == ["90 of 200 sentences, 3.6 a second, about 31 s left"]
    progress.tell(100, "block 1/2: ")
    assert said[1] == "block 1/2: 100 of 200 sentences, 3.3 a second, about 30 s left"
