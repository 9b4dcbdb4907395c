"""Weights that follow the update number and temperatures that follow the logits, in criterions."""

import pytest
import torch

import toy
from cases import CASES
from lightpaff_fairseq.criterions.distiller import Distiller
from lightpaff_fairseq.losses.schedules import (
    WeightSchedule,
    cwsm_hardness,
    dynamic_temperature,
    flsw_hardness,
)

BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
DECAY = ("--kd-lambda", 0.8, "--kd-schedule-updates", 10)


@BY_NAME
def test_a_weight_at_an_update_is_that_weight_set_by_hand(settings, case):
    setting = settings(case)
    sample = toy.batch(setting.task, range(6))
    flags = (*DECAY, "--kd-schedule", "lambda:linear_decay,hidden:linear_growth")
    criterion = setting.criterion(*flags, "--kd-hidden-weight", 2, "--kd-hidden-loss", "pkd")
    for update, lam, hidden in ((0, 0.8, 0.0), (5, 0.4, 1.0), (10, 0.0, 2.0), (99, 0.0, 2.0)):
        torch.manual_seed(0)
        criterion.distiller.num_updates = lambda update=update: update
        got = setting.run(criterion, sample)
        by_hand = setting.criterion("--kd-lambda", lam, "--kd-hidden-weight", 1e-30)
        mine, other = criterion.distiller, by_hand.distiller
        if mine.intermediate is not None:
            other.schedules["hidden"] = WeightSchedule(hidden)
            other.teacher, other.intermediate = mine.teacher, mine.intermediate
        want = setting.run(by_hand, sample)
        assert got[0].item() == pytest.approx(want[0].item(), rel=1e-6), update


def test_the_trainers_update_number_is_followed(settings, tmp_path, monkeypatch):
    case = next(c for c in CASES if c.name == "kd_ss")
    setting = settings(case)
    weights = []
    original = Distiller.weight

    def spy(self, name):
        weights.append((self.num_updates(), original(self, name)))
        return weights[-1][1]

    monkeypatch.setattr(Distiller, "weight", spy)
    kd = ("--criterion", "kd_ss", "--kd-teacher", setting.path, *DECAY)
    argv = case.argv(setting.data, *kd, "--kd-schedule", "lambda:linear_decay", "--lr", 0.01)
    argv += ("--batch-size", 8, "--save-dir", tmp_path, "--max-update")
    toy.train(*argv, 3)
    toy.train(*argv, 5)  # a resumed run goes on where the first one was
    assert weights == [(i, pytest.approx(0.8 - 0.08 * i)) for i in range(5)]


@BY_NAME
@pytest.mark.parametrize("schedule", ["flsw", "cwsm"])
def test_temperatures_of_positions(settings, case, schedule):
    setting = settings(case)
    flags = ("--kd-temperature-schedule", schedule, "--kd-temperature-beta", 0.5)
    criterion = setting.criterion(*flags, "--kd-temperature", 2, "--kd-lambda", 1)
    sample = toy.batch(setting.task, range(6))
    loss = setting.run(criterion, sample)[0].item()

    with torch.no_grad():
        (logits_s, target), (logits_t, _) = (
            case.predict(model, sample) for model in (setting.student, setting.teacher.eval())
        )
    real = case.positions(target, setting.task.source_dictionary.pad())
    logits_s, logits_t = logits_s[real], logits_t[real]
    if schedule == "flsw":
        hardness = flsw_hardness(logits_s, logits_t, 1.0)
    else:
        hardness = cwsm_hardness(logits_s)
    expected = 0.0
    for z_s, z_t, t in zip(logits_s, logits_t, dynamic_temperature(hardness, 2.0, 0.5)):
        p, q = ((z / t).double().log_softmax(-1) for z in (z_t, z_s))
        expected += float((p.exp() * (p - q)).sum() * t**2)
    assert loss == pytest.approx(expected, rel=1e-4)
    constant = setting.criterion("--kd-temperature", 2, "--kd-lambda", 1)
    assert loss != setting.run(constant, sample)[0].item()


@pytest.mark.parametrize(
    "flags,words",
    [
        (("--kd-schedule", "lambda:up", "--kd-schedule-updates", 9), "got 'up'"),
        (("--kd-schedule", "lambda:cosine"), "--kd-schedule-updates"),
        (("--kd-schedule", "loss:cosine"), "--kd-schedule loss:cosine: expected NAME:SCHEDULE"),
        (("--kd-schedule", "hidden:cosine", "--kd-schedule-updates", 9), "weight of hidden is 0"),
        (("--kd-schedule-updates", 9), "--kd-schedule-updates 9: expected --kd-schedule"),
        (("--kd-temperature-beta", -1), "--kd-temperature-beta -1.0"),
        (("--kd-temperature-gamma", 0), "--kd-temperature-gamma 0.0"),
    ],
    ids=str,
)
def test_malformed_schedules(settings, flags, words):
    with pytest.raises(ValueError) as caught:
        settings(CASES[0]).criterion(*flags)
    assert words in str(caught.value)
