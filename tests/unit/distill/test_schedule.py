"""Updates and learning rates: they follow the amount of data, and what the user set wins."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightpaff_fairseq.distill.schedule import (
    LARGEST_WARMUP,
    LEARNING_RATES,
    TABLE,
    Amount,
    choose_rates,
    pretraining_rates,
    round_rate,
)
from lightpaff_fairseq.distill.settings import DistillSettings

TASKS = st.sampled_from(sorted(LEARNING_RATES))
TOKENS = st.integers(1, 10**10)


def teacher(task="translation"):
    return SimpleNamespace(task=task)


def amount(tokens, longest=50):
    return Amount(max(1, tokens // 10), tokens, longest)


@given(TASKS, TOKENS, st.integers(4, 4096))
def test_every_amount_has_usable_rates(task, tokens, width):
    rates = choose_rates(DistillSettings(), teacher(task), amount(tokens), width)
    assert rates.updates >= 1 and rates.per_epoch >= 1
    assert 0 <= rates.warmup_updates <= min(LARGEST_WARMUP, rates.updates)
    assert 0 < rates.lr < 0.1
    assert rates.max_tokens >= 50  # the longest sentence fits


@given(TOKENS, TOKENS)
def test_more_data_more_updates(one, other):
    low, high = sorted((one, other))
    few, many = (
        choose_rates(DistillSettings(), teacher(), amount(x), 100).updates for x in (low, high)
    )
    rows = [next(row for row in TABLE if x <= row.tokens) for x in (low, high)]
    if rows[0] == rows[1]:  # a larger batch in the next row needs fewer
        assert few <= many


@given(st.integers(4, 4000))
def test_wider_students_learn_more_slowly(width):
    narrow, wide = (
        choose_rates(DistillSettings(), teacher(), amount(10**6), w).lr for w in (width, width + 1)
    )
    assert wide <= narrow


def test_what_the_user_set_wins():
    settings = DistillSettings(updates=7, lr=0.5, warmup_updates=0, max_tokens=60)
    rates = choose_rates(settings, teacher(), amount(10**6), 100)
    assert (rates.updates, rates.lr, rates.warmup_updates, rates.max_tokens) == (7, 0.5, 0, 60)
    settings = DistillSettings(pretrain_updates=9)
    assert pretraining_rates(settings, amount(10**6), 100).updates == 9


@pytest.mark.parametrize(("value", "rounded"), [(0.00123, 0.0012), (1.0, 1.0), (0.0999, 0.1)])
def test_two_digits(value, rounded):
    assert round_rate(value) == rounded
