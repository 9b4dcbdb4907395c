"""The schedule of pruning against the paper's formula."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightpaff_fairseq.pruning.prune_schedule import Schedule, update_number


@pytest.mark.parametrize(("start", "end", "final"), [(0, 7, 0.25), (5, 25, 0.5), (9, 9, 0.1)])
def test_the_schedule_is_the_papers_formula(start, end, final):
    schedule = Schedule(start, end, 3)
    for t in range(40):
        if t >= end:
            wanted = final
        elif t < start:
            wanted = 1.0
        else:
            wanted = final + (1 - final) * (1 - (t - start) / (end - start)) ** 3
        assert final + (1 - final) * schedule.remaining(t) == pytest.approx(wanted, abs=1e-12), t
    due = [t for t in range(1, 40) if schedule.is_due(t)]
    assert due == sorted({*range(3, end, 3), end})


def test_update_numbers_are_fractions_up_to_one():
    found = [update_number(x, 1000) for x in (0, 0.7, 1, 2, 500)]
    assert found == [0, 700, 1000, 2, 500]


@given(st.integers(0, 99), st.integers(1, 99), st.integers(1, 9), st.integers(1, 250))
def test_what_remains_never_grows_and_the_end_is_always_due(start, length, interval, update):
    schedule = Schedule(start, start + length, interval)
    assert 0 <= schedule.remaining(update) <= schedule.remaining(update - 1) <= 1
    assert schedule.remaining(start) == 1 and schedule.remaining(schedule.end) == 0
    assert schedule.is_due(schedule.end) and not schedule.is_due(schedule.end + update)
