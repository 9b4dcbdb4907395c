"""Schedules: the ends, the direction, resuming; temperatures against naive loops."""

import math

import pytest
import torch

from lightpaff_fairseq.losses.schedules import (
    COLDEST,
    TEMPERATURE_SCHEDULES,
    WEIGHT_SCHEDULES,
    WeightSchedule,
    check_name,
    check_weight_schedule,
    cwsm_hardness,
    dynamic_temperature,
    flsw_hardness,
)

UPDATES = 40
# name -> share of the weight at the start, half-way and at the end
POINTS = {
    "constant": (1, 1, 1),
    "linear_growth": (0, 0.5, 1),
    "linear_decay": (1, 0.5, 0),
    "cosine": (1, 0.5, 0),
}


def test_every_schedule_is_tested():
    assert POINTS.keys() == WEIGHT_SCHEDULES.keys()


@pytest.mark.parametrize("name", POINTS)
def test_weights(name):
    schedule = WeightSchedule(0.7, name, UPDATES)
    values = [schedule(update) for update in range(2 * UPDATES)]
    for update, share in zip((0, UPDATES // 2, UPDATES), POINTS[name]):
        assert values[update] == pytest.approx(0.7 * share, abs=1e-12)
    assert set(values[UPDATES:]) == {values[UPDATES]}
    steps = [b - a for a, b in zip(values, values[1 : UPDATES + 1])]
    rises = POINTS[name][2] - POINTS[name][0]
    assert all(step * rises > 0 if rises else step == 0 for step in steps)


def test_cosine_is_half_a_wave():
    schedule = WeightSchedule(2.0, "cosine", UPDATES)
    for update in range(UPDATES):
        assert schedule(update) == pytest.approx(1 + math.cos(math.pi * update / UPDATES))


@pytest.mark.parametrize("name", POINTS)
def test_a_resumed_run_goes_on_where_it_stopped(name):
    whole, resumed = (WeightSchedule(0.3, name, UPDATES) for _ in range(2))
    before = [whole(update) for update in range(UPDATES)]
    assert [resumed(update) for update in range(25, UPDATES)] == before[25:]


def test_refuses_unknown_names_and_no_length():
    flags = ("--kd-lambda-schedule", "--kd-schedule-updates")
    check_weight_schedule(WeightSchedule(1.0), *flags)
    check_weight_schedule(WeightSchedule(1.0, "cosine", 1), *flags)
    with pytest.raises(ValueError, match="--kd-lambda-schedule: .*linear_growth.*got 'step'"):
        check_weight_schedule(WeightSchedule(1.0, "step", 5), *flags)
    for updates in (0, -3):
        with pytest.raises(
            ValueError, match=f"--kd-schedule-updates {updates}: expected 1 or more"
        ):
            check_weight_schedule(WeightSchedule(1.0, "linear_decay", updates), *flags)
    with pytest.raises(ValueError, match="--kd-temperature-schedule: .*constant, flsw, cwsm"):
        check_name("warm", TEMPERATURE_SCHEDULES, "--kd-temperature-schedule")


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(11, 7, generator=generator) * 3 for _ in range(2)]


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_flsw_is_the_angle_between_the_logits(logits, gamma):
    s, t = (x.double() for x in logits)
    hardness = flsw_hardness(s, t, gamma)
    for i in range(len(s)):
        cosine = sum(a * b for a, b in zip(s[i], t[i])) / (s[i].norm() * t[i].norm())
        assert hardness[i].item() == pytest.approx(((1 - cosine) ** gamma).item(), rel=1e-9)
    same = flsw_hardness(2 * s, s, 1.0)  # only the direction counts
    assert same.abs().max() < 1e-12 and torch.isfinite(flsw_hardness(s * 0, t, gamma)).all()


def test_cwsm_is_the_inverse_of_the_confidence(logits):
    s = logits[0].double()
    hardness = cwsm_hardness(s)
    for i, row in enumerate(s.tolist()):
        total = sum(math.exp(x) for x in row)
        expected = 1 / (max(math.exp(x) / total for x in row) + 1e-3)
        assert hardness[i].item() == pytest.approx(expected, rel=1e-9)
    assert cwsm_hardness(torch.zeros(1, 7)).item() == pytest.approx(7, rel=0.01)


def test_temperatures(logits):
    hardness = cwsm_hardness(logits[0])
    temperatures = dynamic_temperature(hardness, base=8.0, beta=1.5)
    assert temperatures.mean().item() == pytest.approx(8.0, rel=1e-6)  # no limit is reached here
    assert torch.equal(temperatures.argsort(), hardness.argsort(descending=True))
    naive = [8.0 + 1.5 * (sum(hardness.tolist()) / len(hardness) - h) for h in hardness.tolist()]
    assert temperatures.tolist() == pytest.approx(naive, rel=1e-5)
    assert dynamic_temperature(hardness, 4.0, 0.0).tolist() == [4.0] * len(hardness)


def test_temperatures_stay_positive():
    temperatures = dynamic_temperature(torch.tensor([1.0, 1.0, 900.0]), base=2.0, beta=1.0)
    assert temperatures.min().item() == pytest.approx(COLDEST * 2.0)


def test_no_gradient_and_half_precision(logits):
    s, t = (x.half().requires_grad_() for x in logits)
    for hardness in (flsw_hardness(s, t, 2.0), cwsm_hardness(s)):
        assert not hardness.requires_grad and hardness.dtype == torch.float32
    wide = flsw_hardness(*(x.detach().float() for x in (s, t)), 2.0)
    assert torch.equal(flsw_hardness(s, t, 2.0), wide)
