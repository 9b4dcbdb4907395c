"""Flags of prunable tasks: what is out of range is refused before training, all at once."""

import pytest

from lightpaff_fairseq.tasks.pruning import method_of
from prunable_cases import CASES, HALF, MLM, ROBERTA, Prunable, build

BAD = [
    (("--prune-target-width", 1.5), "--prune-target-width 1.5: expected a ratio"),
    (("--prune-target-width", 0), "--prune-target-width 0.0: expected a ratio"),
    (("--prune-target-width", "inf"), "--prune-target-width inf: expected a ratio"),
    (("--prune-target-params", "9" * 400), "--prune-target-params '9999"),
    ((*HALF, "--prune-start", "inf"), "--prune-start inf: expected 0 or more"),
    ((*HALF, "--prune-end", "nan"), "--prune-end nan: expected 0 or more"),
    (("--prune-target-width", 32), "--prune-target-width 32: expected at most the model's 16"),
    (("--prune-target-width", 0.05), "too little for the encoder's 4 heads of 4: expected 4"),
    ((), "neither"),
    (("--prune-target-width", 0.5, "--prune-target-params", "1M"), "got both"),
    (("--prune-target-params", "many"), "--prune-target-params 'many': expected a number"),
    (("--prune-target-params", "9B"), "--prune-target-params 9B: expected .* parameters, got"),
    ((*HALF, "--prune-start", 9, "--prune-end", 5), "--prune-start 9.0: expected at most"),
    ((*HALF, "--prune-end", 11), "--prune-end 11.0: .*never be reached"),
    ((*HALF, "--prune-end", 0), "--prune-end 0.0: .*never be reached"),
    ((*HALF, "--prune-start", -1), "--prune-start -1.0: expected 0 or more"),
    ((*HALF, "--prune-interval", 0), "--prune-interval 0"),
    ((*HALF, "--prune-decay", 1), "--prune-decay 1.0: expected 0 to below 1"),
    ((*HALF, "--prune-multiple", 0), "--prune-multiple 0: expected 1 or more"),
    ((*HALF, "--max-update", 0), "--prune-end 0.7: is a fraction of --max-update"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "words"), BAD, ids=lambda x: str(x)[:40])
def test_bad_targets_are_refused_before_training(flags, words, tmp_path):
    case = Prunable(MLM, ROBERTA, target=("--prune-multiple", 4))
    with pytest.raises(ValueError, match=words):
        build(case, tmp_path, *flags)


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    case = Prunable(MLM, ROBERTA, target=())
    flags = ("--prune-target-width", 1.5, "--prune-decay", 2, "--prune-interval", 0)
    with pytest.raises(ValueError) as found:
        build(case, tmp_path, *flags, "--prune-end", 99)
    for flag in ("target-width", "decay", "interval", "end"):
        assert f"--prune-{flag}" in str(found.value)


@pytest.mark.slow
def test_a_fraction_and_a_number_of_updates_mean_the_same(tmp_path):
    a, b = (
        method_of(build(CASES["roberta"], tmp_path / x, "--max-update", 50, *flags).task.cfg)
        for x, flags in (
            ("a", ("--prune-start", 0.1, "--prune-end", 0.5)),
            ("b", ("--prune-start", 5, "--prune-end", 25)),
        )
    )
    assert a == b and a.schedule.end == 25
