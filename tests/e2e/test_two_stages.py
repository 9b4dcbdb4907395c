"""Both stages of MASS distillation and decoding, a few updates each, the way a user runs them."""

import math
import re
import subprocess
import sys

import fairseq_cli.train
import pytest
from fairseq.logging import progress_bar

import toy
from lightpaff_fairseq.cli.main import main as lightpaff

LENGTHS = ("--max-source-positions", 32, "--max-target-positions", 32)
RUN = ("--lr", 0.005, "--max-tokens", 200, "--label-smoothing", 0.1, *LENGTHS)
SEEDS = {"0": 4, "1": 5}  # stage -> seed: fresh weights of the second are not those of the first
TEACHER = ("--encoder-embed-dim", 32, "--encoder-ffn-embed-dim", 64)
STUDENT = ("--encoder-embed-dim", 16, "--encoder-ffn-embed-dim", 32, "--decoder-layers", 1)
MASS = ("--task", "masked_seq2seq", "--tokens-per-sample", 32, "--sample-break-mode", "eos")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Everything is trained here: a teacher, then its student, in both stages."""
    out = tmp_path_factory.mktemp("two_stages")
    data, mono = toy.write_parallel(out / "data"), toy.write_monolingual(out / "mono", count=74)

    def train(name, source, task, arch, *flags):
        seed = ("--seed", SEEDS[name[-1]])
        argv = (source, *task, "--arch", arch, *RUN, *seed, *flags, "--max-update", 6)
        toy.train(*argv, "--save-dir", out / name, "--no-epoch-checkpoints")
        return out / name / "checkpoint_last.pt"

    pre = (mono, MASS, "mass_tiny")
    fine = (data, ("--task", "translation"), "transformer_mass_tiny")
    off, on = ("--kd-lambda", 0), ("--kd-teacher",)
    t0 = train("teacher0", *pre, *TEACHER, "--criterion", "kd_mssm", *off)
    t1 = train(
        "teacher1", *fine, *TEACHER, "--criterion", "kd_ss", *off, "--finetune-from-model", t0
    )
    s0 = train("student0", *pre, *STUDENT, "--criterion", "kd_mssm", *on, t0)
    s1 = train(
        "student1", *fine, *STUDENT, "--criterion", "kd_ss", *on, t1, "--finetune-from-model", s0
    )
    assert lightpaff(["strip", "--path", str(s1), "--out", str(out / "student.pt")]) == 0
    return out


def test_every_stage_starts_from_the_stage_before(folder):
    task, fresh, _ = toy.build(
        *(folder / "data", "--task", "translation", "--arch", "transformer_mass_tiny", *LENGTHS),
        *(*TEACHER, "--criterion", "cross_entropy", "--seed", SEEDS["1"]),
    )
    shapes = {name: value.shape for name, value in fresh.state_dict().items()}
    for role in ("teacher", "student"):
        before, after = (
            toy.checkpoint(folder / f"{role}{i}" / "checkpoint_last.pt")["model"] for i in (0, 1)
        )
        assert list(before) == list(after)
        matrices = [name for name, value in before.items() if value.dim() == 2]
        assert len(matrices) > 10
        for name in matrices:  # six updates of 0.005 by Adam
            assert (after[name] - before[name]).abs().max() < 0.05, name
        if role == "teacher":
            assert shapes == {name: value.shape for name, value in after.items()}
            distant = [(after[n] - fresh.state_dict()[n]).abs().max() > 0.2 for n in matrices]
            assert all(distant), "the second stage began with weights of its own"


def test_the_fine_tuned_student_is_a_stock_transformer(folder):
    state = toy.checkpoint(folder / "student1" / "checkpoint_last.pt")
    assert state["cfg"]["model"].arch == "transformer"
    assert state["cfg"]["model"].decoder_layers == 1


def test_stock_fairseq_decodes_every_test_sentence_without_the_plugin(folder, request):
    command = [sys.executable, "-m", "fairseq_cli.generate", folder / "data", "--path"]
    command += [folder / "student.pt", "--beam", 2, "--max-len-b", 5, "--cpu", "--num-workers", 0]
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, cwd=folder, check=True
    )
    assert len(re.findall(r"^H-\d+", done.stdout, re.M)) == 32  # stock fairseq drops 5 of 37 (T1)
    command += ["--user-dir", toy.USER_DIR]
    request.getfixturevalue("forked")  # which has the plug-in
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, cwd=folder, check=True
    )
    assert sorted(int(i) for i in re.findall(r"^H-(\d+)", done.stdout, re.M)) == list(range(37))


def test_the_log_shows_the_distillation_loss(folder, monkeypatch):
    shown = []
    log = progress_bar.SimpleProgressBar.log

    def spy(self, stats, tag=None, step=None):
        shown.append((tag, dict(stats)))
        return log(self, stats, tag, step)

    monkeypatch.setattr(progress_bar.SimpleProgressBar, "log", spy)
    argv = (folder / "data", "--task", "translation", "--arch", "transformer_mass_tiny", *RUN)
    teacher = folder / "teacher1" / "checkpoint_last.pt"
    argv += (*STUDENT, "--criterion", "kd_ss", "--kd-teacher", teacher, "--max-update", 2)
    cfg = toy.parse(*argv, "--log-interval", 1, "--log-format", "simple", "--cpu")
    cfg.checkpoint.save_dir = str(folder / "log")
    fairseq_cli.train.main(cfg)

    training = [stats for tag, stats in shown if tag == "train_inner"]
    assert len(training) == 2
    for stats in training:
        loss, nll, kd = (float(stats[key]) for key in ("loss", "nll_loss", "kd_loss"))
        assert 0 < kd < nll and math.isfinite(loss)
        assert float(stats["ppl"]) == pytest.approx(2**nll, rel=0.01)
