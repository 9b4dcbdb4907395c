"""What version 0.1.0 wrote while it pruned is resumed, compacted, stripped and planned for."""

from pathlib import Path

import pytest

import toy
from cases import CASES, SMALL
from lightpaff_fairseq.cli.main import main
from pruning_runs import PRUNE, Run, assert_equal, pruning

# as tests/data/make_v0_1.py
FLAGS = (*PRUNE, "--max-update", 12, "--save-interval-updates", 5, "--keep-interval-updates", 5)


def run_command(*argv):
    assert main([str(word) for word in argv]) == 0


def test_a_run_in_the_middle_of_pruning_ends_with_the_same_weights(root, tmp_path):
    stored = Path("pruning/run/checkpoint_1_5.pt").read_bytes()
    (tmp_path / "checkpoint_last.pt").write_bytes(stored)
    middle = toy.checkpoint(tmp_path / "checkpoint_last.pt")
    end = toy.checkpoint("pruning/run/checkpoint_last.pt")
    assert pruning(middle)["held"] and not pruning(middle)["is_finished"]
    assert pruning(end)["is_finished"] and not pruning(end)["held"]
    (tmp_path / "checkpoint_last.pt").write_bytes(
        Path("pruning/run/checkpoint_1_5.pt").read_bytes()
    )
    resumed = Run("kd_ss", Path("pruning")).train(tmp_path, *FLAGS)
    assert resumed["optimizer_history"][-1]["num_updates"] == 12
    assert_equal(resumed["model"], end["model"])
    assert_equal(resumed["last_optimizer_state"], end["last_optimizer_state"])
    assert_equal(pruning(resumed), pruning(end))


def test_a_finished_one_is_compacted(root, tmp_path):
    out = tmp_path / "small.pt"
    run_command("compact", "--path", "pruning/run/checkpoint_last.pt", "--out", out)
    cfg = toy.checkpoint(out)["cfg"]
    assert (cfg["model"]["encoder_embed_dim"], cfg["model"]["decoder_ffn_embed_dim"]) == (8, 12)
    assert cfg["task"]["_name"] == "translation"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_checkpoint_is_stripped_planned_for_and_made_a_student(case, root, tmp_path, capsys):
    last, teacher = f"{case.name}/run/checkpoint_last.pt", f"{case.name}/teacher.pt"
    run_command("strip", "--path", last, "--out", tmp_path / "stripped.pt")
    stripped = toy.checkpoint(tmp_path / "stripped.pt")
    assert "last_optimizer_state" not in stripped
    assert_equal(dict(stripped["model"]), dict(toy.checkpoint(last)["model"]))
    capsys.readouterr()
    run_command("prune-plan", "--path", teacher, "--target-width", 0.5)
    assert "architecture: --arch" in capsys.readouterr().out
    sizes = [x for side in case.sides for k, v in SMALL.items() for x in (f"--{side}-{k}", v)]
    out = tmp_path / "student.pt"
    run_command("init-student", "--teacher", teacher, "--out", out, *case.arch, *sizes)
    counts = [
        sum(x.numel() for x in toy.checkpoint(path)["model"].values()) for path in (out, teacher)
    ]
    assert 0 < counts[0] < counts[1]
