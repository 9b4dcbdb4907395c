"""What `lightpaff report` says in words, and how models look."""

import copy

import pytest

from lightpaff_fairseq.report.drawing import styles
from lightpaff_fairseq.report.figures import short_number
from lightpaff_fairseq.report.models import (
    group_models,
    noise_of_speed,
    speed_of_size,
    spread_of_seeds,
)
from lightpaff_fairseq.report.quality import METRICS
from lightpaff_fairseq.report.summary import summarize
from report_files import NAMES, rows


def test_a_model_looks_the_same_everywhere_and_no_two_alike():
    looks = styles([*NAMES, *(f"m{i}" for i in range(12)), "a/teacher"])
    others = [look for name, look in looks.items() if not name.endswith("teacher")]
    assert len(set(others)) == len(others) and looks["a/teacher"] == looks["teacher"]
    assert len({(look.marker, look.line) for look in others}) == len(others), "in gray too"


def test_summary_says_what_the_table_says():
    """One run each: ranges, and no student is called the best."""
    text = summarize(rows())
    assert text == (
        "The 3 students are 6.8 times smaller and 9.7 times faster than the teacher and keep "
        "93.9 to 98.0 % of the teacher's accuracy: 75.25 to 78.50 of 80.12. "
        "Without distillation (no KD) it is 75.50: the difference is -0.25 to +3.00, "
        "-5 to 65 % of the gap. "
        "With 1,066 test sentences an accuracy is known to ±2.6 points (95 %). "
        "Each row is one training run: how much seeds differ was not measured."
    )
    one = summarize([*rows()[:2], rows()[4]])
    assert one.startswith(
        'The student "two-stage KD" is 6.8 times smaller and 9.7 times faster than the teacher and '
        "keeps 98.0 % of the teacher's accuracy: 78.50 of 80.12. "
    )
    assert "best" not in text + one
    cut = {**rows()[0], "name": "teacher, 2,500 tokens"}
    plain = {**rows()[1], "name": "student without distillation", "path": "baseline.pt"}
    for each in (cut, plain):  # the rows of lightpaff distill
        each.pop("group", None)
    several = summarize([rows()[0], cut, plain, rows()[4]])
    assert several.startswith('The student "two-stage KD" is 6.8 times smaller')
    assert "Without distillation (student without distillation) it is 75.50" in several


def test_summary_does_not_flatter():
    worse = copy.deepcopy(rows())
    worse[1]["accuracy"] = 79.0
    assert "(no KD) it is 79.00: distillation gained nothing here." in summarize(worse)
    worse[0]["accuracy"] = 70.0
    worse[1]["accuracy"] = 75.5
    assert "and the teacher itself is not better." in summarize(worse)
    ppl = [
        {"name": "teacher", "ppl_token": 59.2, "times_smaller": 1, "times_faster": 1},
        {"name": "small", "ppl_token": 75.9, "times_smaller": 6.0, "times_faster": 0.5},
        {"name": "other", "ppl_token": 85.0, "times_smaller": 6.0, "times_faster": 0.8},
    ]
    text = summarize(ppl)
    assert text.startswith(
        "The 2 students are 6.0 times smaller and 1.2 to 2.0 times slower than the teacher and "
        "reach perplexity per token 75.90 to 85.00; the teacher has 59.20, lower is better."
    )
    assert summarize(rows()[:1]) == "" and summarize([{"name": "a"}, {"name": "b"}]) == ""


def seeds(accuracies, **more):
    """Rows of one model, whose names do not tell that they are."""
    return [
        {"name": f"run {i}", "group": "student", "seed": i, "accuracy": x, **more}
        for i, x in enumerate(accuracies, 1)
    ]


def test_seeds_are_averaged_by_their_group_whatever_they_are_called():
    teacher = {"name": "teacher", "group": "teacher", "accuracy": 80.0}
    text = summarize([teacher, *seeds([70.0, 74.0])])
    assert text.startswith(
        'The student "student" keeps 90.0 % of the teacher\'s accuracy: 72.00 of 80.00.'
    )
    assert text.endswith(
        "Rows are means over 1 to 2 seeds; seeds of one model differ by 2.83 (standard deviation)."
    )
    names = ("x, seed 1", "x, seed 2")
    assert len(group_models([{"name": name} for name in names])) == 2, "names are not parsed"


def test_the_spread_of_seeds_is_pooled_over_models():
    models = group_models(
        [*seeds([1.0, 3.0]), *({**r, "group": "b"} for r in seeds([5.0, 5.0, 8.0]))]
    )
    expected = ((2.0 * 1 + 3.0 * 2) / 3) ** 0.5  # variances 2 and 3, with 1 and 2 degrees
    assert spread_of_seeds(models, METRICS[5]) == pytest.approx(expected)
    assert spread_of_seeds(models[:0], METRICS[5]) is None


def test_models_of_one_size_have_one_speed():
    """2.2 times faster is noise between models that compute the same."""
    table = [
        {"name": name, "params": params, "times_faster": speed}
        for name, params, speed in (
            ("teacher", 900, 1.0), ("a", 100, 2.0), ("b", 100, 4.4), ("c", 50, 9.0)
        )
    ]  # fmt: skip
    models = group_models(table)
    speeds = [speed_of_size(models, model) for model in models]
    assert speeds == pytest.approx([1.0, 3.2, 3.2, 9.0])
    assert noise_of_speed(models) == pytest.approx(2.2)


@pytest.mark.parametrize("x, shown", [(1.5e6, "1.5 M"), (2000, "2 k"), (0.5, "0.5"), (50, "50")])
def test_short_numbers(x, shown):
    assert short_number(x) == shown
