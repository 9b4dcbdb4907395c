"""Curves of long trainings: bounded, evenly spaced, with their last point and all their gaps."""

import math

import pytest

from lightpaff_fairseq.report import curve_points, log
from lightpaff_fairseq.report.curve_points import Curve
from report_files import inner, start, write_log


@pytest.fixture
def most(monkeypatch):
    monkeypatch.setattr(curve_points, "MOST_POINTS", 8)
    return 8


def filled(count):
    curve = Curve()
    for update in range(count):
        curve.add(update, float(update))
    return curve


@pytest.mark.parametrize("count", range(1, 70))
def test_points_are_bounded_and_evenly_spaced_and_the_last_stays(most, count):
    curve = filled(count)
    kept = list(curve)
    assert kept[-1] == count - 1 and curve.count == count
    assert len(curve) <= most + 1
    assert curve.every == 1 or len(curve) > most / 2
    inside = kept if (count - 1) % curve.every == 0 else kept[:-1]
    assert inside == list(range(0, count, curve.every))
    assert list(curve.values()) == kept


def test_a_resumed_training_continues_a_long_curve(most):
    curve = filled(30)
    every = curve.every
    curve.drop_from(17)
    assert list(curve) == list(range(0, 17, every)) and every == 4
    for update in range(20, 40):
        curve.add(update, 0.0)
    assert list(curve)[-1] == 39 and len(curve) <= most + 1


def test_gaps_are_counted_even_where_their_points_are_not_kept(most):
    curve = Curve()
    for update in range(40):
        curve.add(update, math.nan if update in (3, 21) else 1.0)
    assert list(curve.gaps) == [3, 21] and not any(map(math.isnan, curve.values()))
    curve.drop_from(20)
    assert list(curve.gaps) == [3]
    curve.add(39, math.inf)
    curve.add(39, 2.0)  # the same update again: this value counts
    assert list(curve.gaps) == [3]


def test_a_long_log_is_read_line_by_line_into_few_points(most, tmp_path, monkeypatch):
    monkeypatch.setattr(log, "MOST_LISTED", 2)
    broken = [inner(1, loss=1)[:-5]] * 5
    lines = [*start(), *broken, *(inner(u, loss=u, wps=1) for u in range(1, 101))]
    read = log.read_log(write_log(tmp_path / "x.log", lines))
    curves = read.curves["training"]
    assert set(curves) == {"loss", "wall"} and len(curves["loss"]) <= most + 1
    assert read.last_update == 100 and read.every == curves["loss"].every > 1
    assert read.problems[1:] == ["line 5 cannot be read and is skipped", "3 more lines are skipped"]
