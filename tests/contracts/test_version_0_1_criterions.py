"""Trainings of every criterion that version 0.1.0 wrote are resumed, and its caches are read."""

import shutil
import tarfile
from pathlib import Path

import pytest
import torch

import toy
from cases import CASES

ARCHIVE = Path(__file__).parents[1] / "data" / "version_0_1.tar.xz"
# as tests/data/make_v0_1.py: the run that wrote the archive
COMMON = ("--lr", 0.01, "--max-tokens", 100, "--seed", 3, "--update-epoch-batch-itr", True)
COMMON += ("--no-epoch-checkpoints",)
LOSSES = {
    "kd_ss": ("--kd-hidden-weight", 1, "--kd-attention-weight", 1, "--kd-layer-map", "last"),
    "kd_mlm": ("--kd-embedding-weight", 1),
}
HIDDEN = ("--kd-hidden-weight", 1)
BY_NAME = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("version_0_1")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def root(extracted, monkeypatch):
    """The folder that paths in the checkpoints are relative to, as the current one."""
    monkeypatch.chdir(extracted)
    return extracted


def train(case, save_dir, epochs, *flags):
    """Train as the archived run until the end of an epoch; return the last checkpoint."""
    kd = ("--criterion", case.name, *COMMON, *LOSSES.get(case.name, HIDDEN))
    teacher = () if "--kd-cache" in flags else ("--kd-teacher", f"{case.name}/teacher.pt")
    argv = case.argv(Path(case.name) / "data", *kd, *teacher)
    toy.train(*argv, *flags, "--max-epoch", epochs, "--save-dir", save_dir)
    return toy.checkpoint(save_dir / "checkpoint_last.pt")


def stored_epochs(case):
    return 2 if case.name in LOSSES else 1


def copy_run(case, folder):
    return shutil.copytree(Path(case.name) / "run", folder)


@BY_NAME
def test_a_run_is_resumed_as_if_it_had_not_been_disturbed(root, case, tmp_path):
    """The archive's last epoch is the same one that this version trains."""
    epochs = stored_epochs(case)
    old = toy.checkpoint(f"{case.name}/run/checkpoint_last.pt")
    assert old["criterion"] and all(name.startswith("knowledge.") for name in old["criterion"])
    resumed = train(case, copy_run(case, tmp_path / "resumed"), epochs + 1)
    straight = train(case, tmp_path / "straight", epochs + 1)
    counts = [state["optimizer_history"][-1]["num_updates"] for state in (old, resumed, straight)]
    assert counts[0] < counts[1] == counts[2]
    assert resumed["criterion"].keys() == straight["criterion"].keys()
    assert all(name.startswith("distiller.") for name in resumed["criterion"])
    for part in ("model", "criterion"):
        for name, value in straight[part].items():
            torch.testing.assert_close(resumed[part][name], value, rtol=1e-4, atol=1e-5)
    moved = [(old["model"][n] - x).abs().max() for n, x in resumed["model"].items() if x.dim() > 1]
    assert max(moved) > 1e-3


@BY_NAME
def test_a_run_starts_from_it(root, case, tmp_path):
    start = Path(case.name) / "run" / "checkpoint_last.pt"
    state = train(case, tmp_path, 1, "--finetune-from-model", start, "--max-update", 1)
    assert state["optimizer_history"][-1]["num_updates"] == 1


def test_a_run_is_resumed_by_restore_file(root, tmp_path):
    case = next(c for c in CASES if c.name == "kd_ss")
    last = Path("kd_ss/run/checkpoint_last.pt")
    state = train(case, tmp_path, 3, "--restore-file", last)
    assert state["extra_state"]["train_iterator"]["epoch"] == 4


@pytest.mark.parametrize("name", ["kd_ss", "kd_mlm"])
def test_a_cache_of_it_teaches(root, name, tmp_path):
    case = next(c for c in CASES if c.name == name)
    off = [x for flag in LOSSES[name] if str(flag).endswith("weight") for x in (flag, 0)]
    seed = ("--seed", 1)  # of the masks
    state = train(case, tmp_path, 1, "--kd-cache", Path(name) / "cache", *off, *seed)
    assert state["optimizer_history"][-1]["num_updates"] > 1
