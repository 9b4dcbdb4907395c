"""The recipes: what is finished is reused, what failed continues, what is stopped stops."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from recording import RECIPE, trainings


def test_a_second_run_reuses_everything(finished):
    again = finished.run(RECIPE / "run.sh")
    assert again.returncode == 0 and finished.calls() == []
    assert again.stdout.count("reused") == 9 and "the table" in again.stdout


def test_other_flags_are_not_taken_for_the_finished_model(finished):
    changed = finished.run(RECIPE / "pretrain.sh", STUDENT_PRETRAIN_UPDATES="7")
    assert changed.returncode == 1 and finished.calls() == []
    assert "other flags" in changed.stderr and "7" in changed.stderr


def test_a_failure_says_why_and_a_new_run_continues(recipe):
    failed = recipe.run(RECIPE / "run.sh", FAIL="student_pretrained_kd")
    assert failed.returncode != 0 and "--made-up: wrong" in failed.stderr
    first = trainings(recipe.calls())
    assert "teacher" in first and "student_kd_kd" not in first
    again = recipe.run(RECIPE / "run.sh")
    assert again.returncode == 0, again.stderr
    second = trainings(recipe.calls())
    assert "teacher" not in second and {"student_pretrained_kd", "student_kd_kd"} <= set(second)


def test_a_model_that_could_not_be_stripped_is_not_trained_again(recipe):
    recipe.run(RECIPE / "prepare.sh")
    recipe.calls()
    failed = recipe.run(RECIPE / "teacher.sh", FAIL="strip")
    assert failed.returncode == 1 and "teacher_pretrained         failed" in failed.stderr
    assert "--made-up: wrong" in failed.stderr and set(trainings(recipe.calls())) == {
        "teacher_pretrained"
    }
    again = recipe.run(RECIPE / "teacher.sh")
    assert again.returncode == 0, again.stderr
    assert set(trainings(recipe.calls())) == {"teacher"}
    assert (recipe.out / "teacher_pretrained.pt").exists()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("model", ["teacher", "student_plain_plain"])
def test_stopping_leaves_no_training_behind(recipe, stop, model):
    """Ctrl-C or kill: both lanes end, and nobody goes on writing into their folders."""
    run = subprocess.Popen(
        ["bash", str(RECIPE / "run.sh")],
        env={**recipe.environment, "HANG": model},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    pid_file = recipe.out / model / "pid"
    wait_for(lambda: pid_file.exists() and pid_file.read_text())
    training = int(pid_file.read_text())
    os.kill(run.pid, stop)
    assert run.wait(timeout=20) != 0
    wait_for(lambda: not alive(training))


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before, or while it was read
        return False


def test_two_trainings_of_one_model_are_refused(recipe):
    recipe.run(RECIPE / "prepare.sh")
    first = subprocess.Popen(
        ["bash", str(RECIPE / "teacher.sh")],
        env={**recipe.environment, "HANG": "teacher_pretrained"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: (recipe.out / "teacher_pretrained" / "pid").exists())
        second = recipe.run(RECIPE / "teacher.sh")
        assert second.returncode == 1 and "another process is training it" in second.stderr
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
