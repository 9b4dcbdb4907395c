"""Plans and headers of caches that are forged with the right checksum are refused by name."""

import copy
from dataclasses import asdict

import pytest

from lightpaff_fairseq.shards import PLAN, plan_differences
from lightpaff_fairseq.teachers.cache.header import FORMAT, Contents, Plan, header_text, read_plan
from lightpaff_fairseq.teachers.cache.layout import LPROBS, TOP_K, Layout

PLANNED = Plan(Layout(TOP_K, 31, 4, 1.0), {"split": "train"}, {}, 2, [64, 64], [0, 10, 20])
CONTENTS = Contents([5, 6, 7, 8], 0)
DEEP = {"a": {}}
for _ in range(30):
    DEEP = {"a": DEEP}
CHANGES = [
    ("layout", None, "layout: expected an object, got null"),
    ("layout", {"content": TOP_K, "vocab": 31, "k": 4}, "layout.temperature: missing"),
    ("layout.vocab", "31", 'layout.vocab: expected an integer, got "31"'),
    ("layout.vocab", 10**12, "layout: got k 4, vocab 1000000000000"),
    ("layout.k", 32, "layout: got k 32, vocab 31"),
    ("layout.content", "text", "layout.content: got 'text'"),
    ("layout.temperature", 0, "layout: got k 4, vocab 31, temperature 0"),
    ("data", [1], "data: expected an object, got [1]"),
    ("epochs", 1.5, "epochs: expected an integer, got 1.5"),
    ("epochs", -1, "epochs: got -1"),
    ("epochs", 10**15, "epochs: got 1000000000000000"),
    ("bounds", {"0": 1}, "bounds: expected a list"),
    ("bounds", [], "bounds: expected ascending numbers"),
    ("bounds", [0, 20, 10], "bounds: expected ascending numbers"),
    ("bounds", [0, 10, 20, 30], "contents.positions: expected 6 numbers, got 4"),
    ("contents", [1], "contents: expected an object"),
    ("contents.positions", [1, 2, 3, "4"], "contents.positions[3]: expected an integer"),
    ("contents.positions", [1, 2, 3, -4], "contents.positions: expected 4 numbers"),
    ("contents.skipped", None, "contents.skipped: expected an integer, got null"),
    ("more", 1, "more: unknown"),
]


def entries():
    return copy.deepcopy({**asdict(PLANNED), "contents": asdict(CONTENTS)})


def test_what_was_written_comes_back(tmp_path):
    (path := tmp_path / "cache.json").write_text(header_text(PLANNED, CONTENTS))
    assert read_plan(path) == (PLANNED, CONTENTS)
    path.write_text(FORMAT.encode({**asdict(PLANNED), "contents": None}))
    assert read_plan(path) == (PLANNED, None)


@pytest.mark.parametrize(("name", "value", "words"), CHANGES, ids=[c[2][:40] for c in CHANGES])
def test_forged_headers(name, value, words, tmp_path):
    forged = entries()
    *above, last = name.split(".")
    target = forged[above[0]] if above else forged
    target[last] = value
    (path := tmp_path / "cache.json").write_text(FORMAT.encode(forged))
    with pytest.raises(ValueError) as caught:
        read_plan(path)
    assert str(caught.value).startswith(f"{path}: corrupt: ") and words in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 10**5, '{"a":' * 10**5, "", "3", "null", "[]", '"x"'])
def test_what_is_no_plan(text, tmp_path):
    (path := tmp_path / PLAN).write_text(text)
    with pytest.raises(ValueError) as caught:
        read_plan(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("value", [5, None, [1], "x", DEEP])
def test_differences_of_plans_with_other_kinds(value):
    found = plan_differences({"data": value, "n": 1}, {"data": {"split": "train"}, "n": 1})
    assert any(x.startswith(("data", "split: None in the folder, train here")) for x in found)


def test_complete_layouts_are_accepted(tmp_path):
    plan = Plan(Layout(LPROBS, 3, 3, 1.0), {}, {}, 0, None, [0, 5])
    (path := tmp_path / "cache.json").write_text(header_text(plan, Contents([5], 0)))
    assert read_plan(path) == (plan, Contents([5], 0))
