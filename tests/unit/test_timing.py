"""Times are interleaved, and ratios belong to one round."""

import time

import pytest

from lightpaff_fairseq.timing import interleaved_times, median_ratio


def test_rounds_rotate_and_warm_up():
    calls = []
    variants = {name: lambda name=name: calls.append(name) for name in "abc"}
    times = interleaved_times(variants, repeats=3, warmups=1)
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 3, "c": 3}
    rounds = ["".join(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert rounds == ["cab", "abc", "bca", "cab"]


def test_the_cpu_clock_does_not_count_waiting():
    times = interleaved_times({"wait": lambda: time.sleep(0.2)}, repeats=1, clock="cpu")
    assert times["wait"][0] < 0.1
    times = interleaved_times({"wait": lambda: time.sleep(0.2)}, repeats=1)
    assert times["wait"][0] >= 0.2


def test_ratios_belong_to_one_round():
    # The machine halves its speed in the second round: the ratio does not notice.
    assert median_ratio([2.0, 4.0, 2.2], [1.0, 2.0, 1.0]) == 2.0
    with pytest.raises(ValueError):
        median_ratio([1.0], [1.0, 2.0])
