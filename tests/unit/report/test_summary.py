"""What `lightpaff report` says in words, and how models look."""

import copy

import pytest

from lightpaff_fairseq.report.drawing import styles
from lightpaff_fairseq.report.figures import short_number
from lightpaff_fairseq.report.summary import summarize
from report_files import NAMES, rows


def test_a_model_looks_the_same_everywhere_and_no_two_alike():
    looks = styles([*NAMES, *(f"m{i}" for i in range(12)), "a/teacher"])
    others = [look for name, look in looks.items() if not name.endswith("teacher")]
    assert len(set(others)) == len(others) and looks["a/teacher"] == looks["teacher"]
    assert len({(look.marker, look.line) for look in others}) == len(others), "in gray too"


def test_summary_says_what_the_table_says():
    text = summarize(rows())
    assert text.startswith(
        "The best student, two-stage KD, is 6.8 times smaller and 9.7 times faster"
    )
    assert "reaches accuracy 78.50, 98.0 % of the teacher's 80.12." in text
    assert "Without distillation it is 75.50 (no KD): distillation closes 65 % of the gap" in text
    assert "With 1,066 test sentences" in text and "Each row is one run." in text


def test_summary_does_not_flatter():
    worse = copy.deepcopy(rows())
    worse[1]["accuracy"] = 79.0
    assert "Distillation gained nothing here: without it, it is 79.00 (no KD)" in summarize(worse)
    worse[0]["accuracy"] = 70.0
    worse[1]["accuracy"] = 75.5
    assert "no worse than the teacher itself" in summarize(worse)
    ppl = [
        {"name": "teacher", "ppl_token": 59.2, "times_smaller": 1, "times_faster": 1},
        {"name": "small", "ppl_token": 75.9, "times_smaller": 6.0, "times_faster": 0.5},
        {"name": "other", "ppl_token": 85.0, "times_smaller": 6.0, "times_faster": 4.0},
    ]
    text = summarize(ppl)
    assert text.startswith(
        "The best student, small, is 6.0 times smaller than the teacher and reaches"
    )
    assert "75.90; the teacher has 59.20, lower is better." in text
    assert summarize(rows()[:1]) == "" and summarize([{"name": "a"}, {"name": "b"}]) == ""


@pytest.mark.parametrize("x, shown", [(1.5e6, "1.5 M"), (2000, "2 k"), (0.5, "0.5"), (50, "50")])
def test_short_numbers(x, shown):
    assert short_number(x) == shown
