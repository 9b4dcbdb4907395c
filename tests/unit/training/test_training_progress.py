"""Lines of fairseq's log become lines for people."""

import json
import time

import pytest

from lightpaff_fairseq.training.training_progress import TrainingProgress


def logged(logger, **values):
    return f"2026-01-02 03:04:05 | INFO | {logger} | {json.dumps(values)}"


def configuration(**limits):
    settings = {f"optimization.{name}": value for name, value in limits.items()}
    return logged("lightpaff_fairseq.provenance", configuration=settings)


def interval(update, epochs):
    return logged("train_inner", epoch=1, update=epochs, loss="4.25", num_updates=str(update))


def validation(update, **values):
    values = {f"valid_{name}": value for name, value in values.items()}
    return logged("valid", epoch=2, **values, valid_num_updates=str(update))


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_a_validation_is_one_line_with_the_time_left(clock, capsys):
    progress = TrainingProgress("student")
    trainer = "2026-01-02 03:04:05 | INFO | fairseq.trainer |"
    progress.take(configuration(max_update=200))
    progress.take(f"{trainer} Loaded checkpoint s/checkpoint_last.pt (epoch 1 @ 50 updates)")
    clock[0] += 60  # data are loaded
    progress.take(f"{trainer} begin training epoch 1")
    clock[0] += 300
    progress.take(interval(100, 1.0))
    progress.take(f"{trainer} begin training epoch 2")
    progress.take(validation(100, loss="3.5", ppl="11.314", bleu="20.111", wps="999"))
    printed = capsys.readouterr()
    # 50 updates took 5 minutes
    assert printed.out == (
        "student: epoch 2, update 100 of 200, valid loss 3.50, ppl 11.31, BLEU 20.11, "
        "about 10 min left\n"
    )
    assert printed.err == (
        "student: 100 of 200 updates (loss 4.25), 0.2 per second, about 10 min left\n"
    )
    clock[0] += 600
    progress.take(validation(200, loss="3.25"))
    assert capsys.readouterr().out == "student: epoch 2, update 200 of 200, valid loss 3.25\n"


@pytest.mark.parametrize(
    ("limits", "total"),
    [
        ({"max_update": 90}, 90),
        ({"max_epoch": 4}, 80),  # 10 updates are half of an epoch
        ({"max_update": 90, "max_epoch": 4}, 80),
        ({"max_update": 60, "max_epoch": 4}, 60),
        ({}, 0),
    ],
)
def test_the_end_is_that_of_updates_or_epochs_whichever_comes_first(limits, total):
    progress = TrainingProgress("student")
    progress.take(configuration(**limits))
    progress.take(interval(10, 0.5))
    assert progress.line.total == total


def test_an_epoch_without_validation_has_a_line_too(capsys):
    progress = TrainingProgress("student")
    progress.take(interval(10, 1))
    for update in (10, 20):
        stats = {"train_loss": "4", "train_num_updates": str(update)}
        if update == 20:
            progress.take(validation(20, loss="5"))
        progress.take(logged("train", epoch=update // 10, **stats))
    assert capsys.readouterr().out.splitlines() == [
        "student: epoch 1, update 10, train loss 4.00",
        "student: epoch 2, update 20, valid loss 5.00",
    ]


def test_other_lines_say_nothing(capsys):
    progress = TrainingProgress("student")
    cut = validation(5, loss="1")[:-7]
    for line in ("", "Traceback", cut, "INFO | fairseq.tasks | {'a': 1}"):
        progress.take(line)
    assert capsys.readouterr() == ("", "")
