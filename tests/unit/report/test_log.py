"""Logs of every kind and state are read."""

import json
import math

from lightpaff_fairseq.provenance import LOGGER
from lightpaff_fairseq.report.log import parse_line, parse_metrics, read_log
from report_files import (
    DONE,
    inner,
    line,
    start,
    start_of_version_0_1,
    valid,
    write_log,
)


def read(tmp_path, lines):
    return read_log(write_log(tmp_path / "x.log", lines))


def test_both_formats_and_hydra_say_the_same():
    values = {"loss": 0.714, "kd_loss": 0.5}
    pairs = "loss=0.714, kd_loss=0.5, num_updates=50"
    lines = [
        inner(50, **values),
        inner(50, **values).replace("2026-01-02 03:04:05 | ", ""),
        line("train_inner", f"epoch 001:     50 / 267 {pairs}"),
        '[2026-01-02 03:04:05,123][train_inner][INFO] - {"loss": "0.714", "kd_loss": "0.5", '
        '"num_updates": "50"}',
    ]
    for text in lines:
        logger, message = parse_line(text)
        update, metrics = parse_metrics(logger, message)
        assert (logger, update) == ("train_inner", 50), text
        assert {k: metrics[k] for k in values} == values
    logger, message = parse_line(
        line("train", "epoch 002 | loss 0.5 | kd_loss 0.25 | num_updates 99")
    )
    update, metrics = parse_metrics(logger, message)
    assert (logger, update, metrics["kd_loss"]) == ("train", 99, 0.25)
    text = "epoch 001 | valid on 'test' subset | loss 0.7 | accuracy 75 | num_updates 267"
    logger, message = parse_line(line("test", text))
    assert logger == "test" and parse_metrics(logger, message)[1]["accuracy"] == 75.0
    assert parse_metrics("fairseq.trainer", "begin training epoch 1") is None
    assert parse_line("  (encoder): RobertaEncoder(") is None


def test_a_training_that_was_resumed_counts_once_and_the_later_start_wins(tmp_path):
    first = [*start(), *(inner(u, loss=u) for u in (50, 100, 150, 200)), valid(120, loss=1)]
    again = [*start(), *(inner(u, loss=1000 + u) for u in (150, 200, 250)), DONE]
    log = read(tmp_path, [*first, *again])
    assert log.curves["training"]["loss"] == {
        50: 50,
        100: 100,
        150: 1150,
        200: 1200,
        250: 1250,
    }
    assert log.curves["valid"]["loss"] == {120: 1}
    assert log.starts == 2 and log.is_finished and log.parameters == 1234

    shorter = read(tmp_path, [*first, *start(), inner(50, loss=7)])
    assert shorter.curves["training"]["loss"] == {50: 7}, "restarted: the rest is of before"
    assert not shorter.curves["valid"] and not shorter.is_finished

    idle = read(tmp_path, [*first, *start()])
    assert idle.last_update == 200, "a start that has not logged anything takes nothing away"


def test_lines_that_are_cut_off_are_skipped_and_listed(tmp_path):
    whole = inner(100, loss=2)
    log = read(tmp_path, [*start(), inner(50, loss=3), whole[: len(whole) // 2]])
    assert log.curves["training"]["loss"] == {50: 3}
    assert log.problems == ["line 5 is cut off and is skipped"]
    mixed = read(tmp_path, [*start(), whole[:-5], inner(150, loss=1)])
    assert mixed.problems == ["line 4 cannot be read and is skipped"]
    assert mixed.curves["training"]["loss"] == {150: 1}


def test_what_is_not_a_number_stays_a_gap_and_is_told(tmp_path):
    log = read(tmp_path, [*start(), *(inner(u, loss=v) for u, v in ((1, 2), (2, "nan"), (3, 4)))])
    curve = log.curves["training"]["loss"]
    assert curve[1] == 2 and math.isnan(curve[2]) and curve[3] == 4
    assert "not a finite number at 1 of 3 points, first at update 2" in log.problems[0]
    assert read(tmp_path, [inner(1, loss="inf")]).problems


def test_an_epoch_serves_where_no_interval_was_logged(tmp_path):
    text = json.dumps({"epoch": 1, "train_loss": "0.5", "train_num_updates": "10"})
    log = read(tmp_path, [line("train", text)])
    assert log.curves["training"]["loss"] == {10: 0.5}
    both = read(tmp_path, [inner(5, loss=1), line("train", text)])
    assert both.curves["training"]["loss"] == {5: 1.0}


def test_the_configuration_of_the_last_start_counts(tmp_path):
    log = read(tmp_path, [*start("masked_lm"), *start("prunable_masked_lm"), inner(1, loss=1)])
    assert log.task == "masked_lm", "a prunable task's curves are those of the task"
    assert log.configuration["task._name"] == "prunable_masked_lm"
    assert log.configuration["optimization.lr"] == [0.0005]
    broken = read(tmp_path, [*start(), line(LOGGER, '{"command": "fairseq')])
    assert broken.problems == ["line 4 is cut off and is skipped"] and broken.task


def test_a_log_of_version_0_1_lacks_the_configuration(tmp_path):
    command = line(LOGGER, '{"command": "fairseq-train data", "versions": {"torch": "2"}}')
    log = read(tmp_path, [*start_of_version_0_1(), command, inner(1, loss=1), DONE])
    assert (log.starts, log.parameters, log.is_finished) == (1, 1234, True)
    assert log.configuration == {} and log.task == ""
    assert log.provenance["command"] == "fairseq-train data" and not log.problems
