"""A lexical shortlist: its rules against naive counts, and a file that is safe to parse."""

from collections import Counter

import numpy as np
import pytest
from fairseq.data import Dictionary

from lightpaff_fairseq.export import shortlist_rules
from lightpaff_fairseq.export.shortlist import ALWAYS, FILE, Shortlist
from lightpaff_fairseq.export.training_pairs import TrainingPairs

WORDS = 12


def dictionary(*more):
    result = Dictionary()
    for token in (*(f"w{i}" for i in range(WORDS)), *more):
        result.add_symbol(token)
    return result


@pytest.fixture
def corpus(monkeypatch):
    """Pairs of random tokens with random alignments: (pairs, [(source, target, links)])."""
    rng = np.random.default_rng(5)
    sides = dictionary("a b"), dictionary("", "\t")  # tokens that no rule can hold
    rows = []
    for _ in range(200):
        source, target = (rng.integers(3, len(d), rng.integers(1, 8)) for d in sides)
        kept = rng.random(len(target)) < 0.8
        j = np.nonzero(kept)[0]
        rows.append((source, target, (rng.integers(0, len(source), len(j)), j)))
    monkeypatch.setattr(shortlist_rules, "align", lambda pairs: [links for *_, links in rows])
    ends = [[np.append(row[side], 2) for row in rows] for side in (0, 1)]
    pairs = TrainingPairs(*sides, tuple(ends))
    return pairs, rows


def naive(pairs, rows, targets, frequent):
    """The rules by counting tokens one by one."""
    names = pairs.source.symbols, pairs.target.symbols
    usable = set(range(4, 4 + WORDS))

    def best(counts, number, least=1):
        items = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return [i for i, count in items if count >= least][:number]

    always = best(Counter(i for _, t, _ in rows for i in t.tolist() if i in usable), frequent)
    counts = {}
    for s, t, links in rows:
        s = s.tolist()
        for i, j in zip(*(ids.tolist() for ids in links)):
            keys = [(s[i],), tuple(s[i - 1 : i + 1]) if i else (), tuple(s[i : i + 2])]
            for key, size in zip(keys, (1, 2, 2)):
                if len(key) == size and usable.issuperset(key) and t[j] in usable - {*always}:
                    counts.setdefault(key, Counter())[int(t[j])] += 1
    rules = {key: best(count, targets) for key, count in counts.items() if len(key) == 1}
    for key, count in counts.items():
        if len(key) == 2:
            new = {
                i: n
                for i, n in count.items()
                if all(i not in rules[k,] for k in key if (k,) in rules)
            }
            rules[key] = best(new, targets, shortlist_rules.SEEN)
    rules[ALWAYS] = always
    named = {tuple(names[0][i] for i in k): {names[1][i] for i in v} for k, v in rules.items()}
    return {key: targets for key, targets in named.items() if targets}


@pytest.mark.parametrize("targets, frequent", [(2, 1), (1, 3), (50, 2)])
def test_rules_are_the_naive_ones(corpus, targets, frequent):
    pairs, rows = corpus
    shortlist = shortlist_rules.build_shortlist(pairs, targets, frequent)
    assert {k: set(v) for k, v in shortlist.rules.items()} == naive(pairs, rows, targets, frequent)
    few = [source.tolist() for source, _ in pairs.sentences(7)]  # evenly spaced
    assert few == [rows[len(rows) * i // 7][0].tolist() for i in range(7)]
    sizes = Counter(map(len, shortlist.rules))
    assert sizes[0] == 1 and sizes[1] == WORDS and (sizes[2] > 3 or targets > 2)
    assert shortlist_rules.unwritable(pairs.source) == 1
    assert shortlist_rules.unwritable(pairs.target) == 2


def test_the_file_has_what_the_parser_does_not_check(corpus, tmp_path):
    shortlist = shortlist_rules.build_shortlist(corpus[0], 3, 2)
    shortlist.write(tmp_path)
    text = (tmp_path / FILE).read_bytes().decode()
    lines = text.split("\n")
    assert lines.pop() == "" and lines == sorted(lines) and all(x.count("\t") == 1 for x in lines)
    read = {}
    for line in lines:
        key, targets = line.split("\t")
        assert key not in read and targets.split(" ") == sorted({*targets.split()})
        read[key] = targets.split(" ")
    assert read == {" ".join(k): sorted(v) for k, v in shortlist.rules.items()} and "" in read
    assert shortlist.entries == sum(map(len, read.values()))


@pytest.mark.parametrize(
    "rules, message",
    [
        ({}, "always allowed, got none"),
        ({("a",): ["x"]}, "always allowed, got none"),
        ({ALWAYS: []}, "expected different targets"),
        ({ALWAYS: ["x", "x"]}, "expected different targets"),
        ({ALWAYS: ["x"], ("a b",): ["y"]}, "token 'a b' is empty or contains a blank"),
        ({ALWAYS: ["x"], ("",): ["y"]}, "token '' is empty"),
        ({ALWAYS: ["x\ty"]}, "contains a blank"),
    ],
)
def test_rules_that_cannot_be_written(rules, message):
    with pytest.raises(ValueError, match=message):
        Shortlist(rules)


def test_words_are_aligned_by_their_translations():
    """Every word has one translation, in another order: most links are those."""
    from lightpaff_fairseq.export.word_alignment import align

    pytest.importorskip("thot")
    rng = np.random.default_rng(2)
    sources = [rng.integers(4, 20, size) for size in rng.integers(1, 8, 300)]
    empty = np.array([], dtype=np.int64)
    long = np.full(2000, 5)
    pairs = [(s, s[::-1] + 100) for s in sources] + [(empty, long), (long, empty), (long, empty)]
    links = list(align(pairs))
    assert len(links) == len(pairs) and all(not len(i) for i, _ in links[len(sources) :])
    right = [t[j] == s[i] + 100 for (s, t), (i, j) in zip(pairs, links)]
    assert np.mean(np.concatenate(right)) > 0.95 and len(np.concatenate(right)) > 1000
