"""`lightpaff train` runs fairseq-train; errors are one line; nothing goes on after a signal."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import toy
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.report.log import read_log

SMALL = ("--task", "translation", "--arch", "transformer", "--encoder-layers", 1)
SMALL += ("--decoder-layers", 1, "--encoder-embed-dim", 8, "--decoder-embed-dim", 8)
SMALL += ("--encoder-attention-heads", 1, "--decoder-attention-heads", 1, "--optimizer", "adam")
SMALL += ("--criterion", "kd_ss", "--kd-lambda", 0, "--max-tokens", 100, "--lr", 0.01, "--cpu")
SMALL += ("--num-workers", 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy.write_parallel(tmp_path_factory.mktemp("data"), count=40)


def lightpaff_train(data, *flags):
    return main([str(word) for word in ("train", data, *SMALL, *flags)])


def test_lines_log_and_a_second_start(data, tmp_path, capfd):
    save = tmp_path / "a" / "student"
    assert lightpaff_train(data, "--save-dir", save, "--max-epoch", 2, "--log-interval", 1) == 0
    first, *lines, last = capfd.readouterr().out.splitlines()
    log = read_log(save / "train.log")
    assert first == f"student: the full log is {save / 'train.log'}" and log.is_finished
    assert re.fullmatch(r"student: finished after \d+ s", last)
    # the first validation: as many updates again
    updates = list(log.curves["valid"]["loss"])
    assert len(lines) == 2 and updates[1] == 2 * updates[0]
    for i, (line, update) in enumerate(zip(lines, updates, strict=True), 1):
        loss = log.curves["valid"]["loss"][update]
        start = f"student: epoch {i}, update {update} of {updates[1]}, valid loss {loss:.2f}, ppl "
        assert line.startswith(start)
    assert log.provenance["command"].startswith(f"fairseq-train {data} --task translation")
    assert lightpaff_train(data, "--save-dir", save, "--max-epoch", 3) == 0
    assert read_log(save / "train.log").starts == 2
    assert f"update {updates[0] * 3} of {updates[0] * 3}" in capfd.readouterr().out


def test_checkpoints_are_chosen_by_validation_bleu(data, tmp_path, capfd):
    """With the flags of docs/sequence_kd.md."""
    flags = ("--eval-bleu", "--eval-bleu-args", '{"beam": 1}', "--max-epoch", 3)
    flags += ("--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric")
    assert lightpaff_train(data, *flags, "--save-dir", tmp_path / "s") == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if "BLEU" in line]
    bleu = read_log(tmp_path / "s" / "train.log").curves["valid"]["bleu"]
    assert len(lines) == 3
    for line, value in zip(lines, bleu.values(), strict=True):
        assert f"BLEU {value:.2f}" in line
    best = toy.checkpoint(tmp_path / "s" / "checkpoint_best.pt")["extra_state"]
    assert best["best"] == pytest.approx(max(bleu.values()), abs=0.01)
    assert best["val_loss"] == pytest.approx(bleu[max(bleu)], abs=0.01), "not the loss"


def test_a_refused_input_is_one_line(data, tmp_path, capfd):
    log = tmp_path / "log"
    flags = ("--save-dir", tmp_path / "s", "--log", log, "--name", "second")
    wrong = ("--kd-lambda", 0.5, "--kd-teacher", tmp_path / "no.pt", "--max-update", 1)
    assert lightpaff_train(data, *flags, *wrong) == 2
    error = capfd.readouterr().err
    assert error.startswith("second: error: --kd-teacher ") and error.count("\n") == 1
    text = log.read_text()
    assert "Traceback" not in text
    assert text.splitlines()[-1] == error.strip().replace("second", "fairseq-train")


def test_an_error_of_fairseq_keeps_its_traceback(data, tmp_path, capfd):
    noise = ("--quant-noise-pq", 0.1, "--quant-noise-pq-block-size", 7)
    code = lightpaff_train(data, "--save-dir", tmp_path / "s", "--max-update", 1, *noise)
    error = capfd.readouterr().err
    assert code not in (0, 2) and "s: error: fairseq-train ended with code" in error
    assert "AssertionError: Input features must be a multiple of block sizes" in error
    assert "Traceback" in (tmp_path / "s" / "train.log").read_text()


def test_flags_that_contradict_the_command_are_refused(data, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    flags = ("--user-dir", tmp_path, "--log-format", "simple", "--save-dir", tmp_path / "file")
    assert lightpaff_train(data, *flags) == 2
    error = capsys.readouterr().err
    for word in ("--user-dir", "--log-format simple: expected json", "--save-dir"):
        assert word in error
    assert main(["train", "--name", "x"]) == 2
    assert "DATA: expected the arguments of fairseq-train, got none" in capsys.readouterr().err
    assert lightpaff_train(data, "--log", tmp_path / "no" / "log") == 2
    assert "--log" in capsys.readouterr().err and not (tmp_path / "no").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_too(data, tmp_path, number):
    words = (sys.executable, "-m", "lightpaff_fairseq.cli.main", "train", data, *SMALL)
    words += ("--save-dir", tmp_path / "s", "--log-interval", 1)
    run = subprocess.Popen(
        list(map(str, words)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # even under nohup
    )
    log = tmp_path / "s" / "train.log"
    wait_for(lambda: log.exists() and "train_inner" in log.read_text())
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    assert len(children) == 1
    run.send_signal(number)
    _, error = run.communicate(timeout=30)
    assert run.returncode == {signal.SIGINT: 130, signal.SIGTERM: 128 + signal.SIGTERM}[number]
    assert b"Traceback" not in error
    wait_for(lambda: not os.path.exists(f"/proc/{children[0]}"))


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


SPAWN = """
import json, sys, torch
sys.argv[0] = "fairseq-train"
torch.cuda.device_count = lambda: 1  # fairseq starts a process per GPU
from fairseq_cli.train import cli_main
cli_main()
"""


def test_a_process_per_gpu_ends_in_one_line_too(data, tmp_path):
    script = tmp_path / "launch.py"
    script.write_text(f'if __name__ == "__main__":\n    {"    ".join(SPAWN.splitlines(True))}')
    launch = ("--distributed-world-size", 1, "--distributed-init-method", f"file://{tmp_path}/x")
    launch += ("--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp")
    words = (sys.executable, script, data, *SMALL, *launch, "--user-dir", toy.USER_DIR)
    words += ("--save-dir", tmp_path / "s", "--kd-lambda", 0.5, "--kd-teacher", tmp_path / "no.pt")
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("fairseq-train: error: --kd-teacher ")
    assert "Traceback" not in done.stderr
