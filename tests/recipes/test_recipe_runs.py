"""The recipes: what is finished is reused, what failed continues, what is stopped stops."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from recording import RECIPE, ROWS, distillations, evaluation, of, trainings


def test_a_second_run_reuses_everything(finished):
    again = finished.run()
    assert again.returncode == 0, again.stderr
    calls = finished.calls()  # lightpaff distill says itself what it reuses
    assert sorted(distillations(calls)) == sorted(ROWS) and len(calls) == len(ROWS)
    assert again.stdout.count("reused") == 3 and "the table" in again.stdout


def test_a_newer_student_is_evaluated(finished):
    later = time.time() + 10
    os.utime(finished.out / "no_kd" / "student.pt", (later, later))
    assert finished.run(STEPS="evaluate").returncode == 0
    assert len(evaluation(finished.calls()).path) == 1 + len(ROWS)


def test_other_flags_are_not_taken_for_the_finished_model(finished):
    changed = finished.run(TEACHER_PRETRAIN="--max-update 7 --lr 1")
    assert changed.returncode == 1 and finished.calls() == []
    assert "other flags" in changed.stderr and "7" in changed.stderr


def test_a_failure_says_why_and_a_new_run_continues(recipe):
    failed = recipe.run(FAIL="two_stage", LANES="1")
    assert failed.returncode != 0 and "--made-up: wrong" in failed.stderr
    first = recipe.calls()
    assert set(trainings(first)) == {"teacher_pretrained", "teacher"}
    assert set(distillations(first)) == {"two_stage"} and not of(first, "lightpaff", "evaluate")
    again = recipe.run()
    assert again.returncode == 0, again.stderr
    second = recipe.calls()
    assert not trainings(second) and sorted(distillations(second)) == sorted(ROWS)


def test_a_model_that_could_not_be_stripped_is_not_trained_again(recipe):
    failed = recipe.run(FAIL="strip", STEPS="prepare teacher")
    assert failed.returncode == 1 and "teacher_pretrained         failed" in failed.stderr
    assert "--made-up: wrong" in failed.stderr
    assert set(trainings(recipe.calls())) == {"teacher_pretrained"}
    again = recipe.run(STEPS="prepare teacher")
    assert again.returncode == 0, again.stderr
    assert set(trainings(recipe.calls())) == {"teacher"}
    assert (recipe.out / "teacher_pretrained.pt").exists()


def test_without_ablations_a_given_teacher_makes_one_student(recipe):
    recipe.out.mkdir()
    for name in ("teacher_pretrained", "teacher"):
        (recipe.out / f"{name}.pt").touch()
    done = recipe.run(ABLATIONS="no")
    assert done.returncode == 0, done.stderr
    calls = recipe.calls()
    assert not trainings(calls) and set(distillations(calls)) == {"two_stage"}


@pytest.mark.parametrize(
    ("stop", "model"),
    [
        (signal.SIGINT, "teacher"),
        (signal.SIGTERM, "no_kd"),
        (signal.SIGTERM, "fairseq-preprocess"),
        (signal.SIGTERM, "evaluate"),
    ],
)
def test_stopping_leaves_no_process_behind(recipe, stop, model):
    """Ctrl-C or kill: the script ends at once in every step, and so does what it runs."""
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
    recipe.run("prepare.sh")
    first = subprocess.Popen(
        ["bash", str(RECIPE / "run.sh")],
        env={**recipe.environment, "HANG": "teacher_pretrained"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: (recipe.out / "teacher_pretrained" / "pid").exists())
        second = recipe.run()
        assert second.returncode == 1 and "another process is training it" in second.stderr
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
