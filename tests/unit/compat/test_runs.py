"""Runs that are stopped and started again lose nothing, and make no update too many."""

import os
import shutil
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.dataclass.configs import CheckpointConfig
from fairseq.file_io import PathManager

import toy
from faults import survives

pytestmark = pytest.mark.slow  # trains

NAMES = ("checkpoint1.pt", "checkpoint_best.pt", "checkpoint_last.pt")


def save(folder, epoch):
    """Save as fairseq's trainer does, by fairseq's own code, an epoch that is the best so far."""
    vars(checkpoint_utils.save_checkpoint).pop("best", None)
    write = checkpoint_utils.torch_persistent_save
    state = {"epoch": epoch, "tensor": torch.full((5000,), epoch)}
    trainer = SimpleNamespace(
        data_parallel_rank=0,
        consolidate_optimizer=lambda: None,
        should_save_checkpoint_on_current_rank=True,
        get_num_updates=lambda: 10 * epoch,
        checkpoint_suffix="",
        task=None,
        get_criterion=lambda: None,
        save_checkpoint=lambda path, extra: write(state, path),
    )
    position = SimpleNamespace(epoch=epoch, end_of_epoch=lambda: True, state_dict=dict)
    cfg = CheckpointConfig(save_dir=str(folder))
    checkpoint_utils.save_checkpoint(cfg, trainer, position, val_loss=10.0 - epoch)


def test_a_kill_at_any_file_operation_leaves_whole_checkpoints(tmp_path):
    survived, kills = False, 0
    while not survived:
        folder = tmp_path / str(kills)
        save(folder, 1)
        survived = survives(partial(save, folder, 2), kills)
        for path in folder.glob("*.pt"):
            assert torch.load(path)["epoch"] in (1, 2), "half a file is not loaded"
        assert {*NAMES} <= {x.name for x in folder.glob("*.pt")}
        save(folder, 2)  # the next run
        assert not list(folder.glob("*.tmp")), "what was left has been overwritten"
        kills += 1
    assert kills > 3 * 2 + 2, "open, two halves and rename of each copy"


def test_half_a_copy_is_left_without_the_repair(tmp_path):
    """The fault injector finds what it looks for."""
    copy = PathManager.copy.__wrapped__
    for name, size in (("a", 100), ("b", 80)):
        (tmp_path / name).write_bytes(bytes(size))
    paths = (str(tmp_path / "a"), str(tmp_path / "b"))
    assert not survives(lambda: copy(*paths, overwrite=True), 2)
    assert (tmp_path / "b").stat().st_size == 50


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def fails(source, target):
        target.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fails)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, 2)
    assert torch.load(tmp_path / "checkpoint_last.pt")["epoch"] == 1
    assert not list(tmp_path.glob("*.tmp"))


def test_copies_are_fairseqs_and_links_stay(tmp_path):
    source, target, link = (tmp_path / name for name in "abc")
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    link.symlink_to(target)
    for copy in (PathManager.copy, PathManager.copy.__wrapped__):
        target.write_bytes(b"old")
        assert copy(src_path=str(source), dst_path=str(link), overwrite=True)
        assert link.is_symlink() and target.read_bytes() == b"new"
        assert copy(str(source), str(tmp_path / "d")) and (tmp_path / "d").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c", "d"]


@pytest.fixture
def run(tmp_path):
    data = toy.write_parallel(tmp_path / "data")
    argv = ("--task", "translation", "--arch", "transformer_mass_tiny", "--lr", 0.01)

    def start(*flags, folder=tmp_path / "run"):
        toy.train(data, *argv, "--max-tokens", 100, *flags, "--save-dir", folder)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    return start


@pytest.mark.parametrize("updates", [3, 11], ids=["first epoch", "later"])
def test_a_finished_run_that_is_started_again_changes_nothing(run, updates, caplog):
    caplog.set_level("INFO", "lightpaff_fairseq")
    finished = run("--max-update", updates)
    assert "nothing to train" not in caplog.text
    for limit in (updates, 1):
        assert run("--max-update", limit) == finished
        assert f"nothing to train: the run is finished, after {updates} updates" in caplog.text


def test_a_run_whose_time_is_over_is_finished(run):
    finished = run("--stop-time-hours", 1e-9)
    assert run("--stop-time-hours", 1e-9) == finished
    assert run("--stop-time-hours", 1, "--max-update", 2) != finished


def test_a_finished_run_goes_on_with_more_updates(run, tmp_path):
    flags = ("--update-epoch-batch-itr", "True", "--max-update")
    run(*flags, 3)
    run(*flags, 3)
    run(*flags, 6)
    run(*flags, 6, folder=tmp_path / "undisturbed")
    stopped, undisturbed = (
        toy.checkpoint(tmp_path / name / "checkpoint_last.pt") for name in ("run", "undisturbed")
    )
    assert stopped["optimizer_history"][-1]["num_updates"] == 6
    for name, tensor in undisturbed["model"].items():
        assert torch.equal(tensor, stopped["model"][name]), name


def test_a_model_to_start_from_is_no_finished_run(run, tmp_path):
    run("--max-update", 3)
    start = ("--finetune-from-model", tmp_path / "run" / "checkpoint_last.pt")
    assert "checkpoint_last.pt" in run(*start, "--max-update", 2, folder=tmp_path / "next")


def test_the_next_training_of_a_process_starts_without_the_best_and_the_patience(tmp_path):
    """As in a sweep: the second is worse, yet has a best checkpoint, and all of its epochs."""
    data = toy.write_parallel(tmp_path / "data", 8)
    sizes = ("--encoder-layers", 1, "--decoder-layers", 1, "--encoder-embed-dim", 8)
    words = (data, "--arch", "transformer", *sizes, "--encoder-attention-heads", 1)
    words = (*words, "--decoder-attention-heads", 1, "--criterion", "cross_entropy")
    words = (*words, "--batch-size", 8, "--max-epoch", 2, "--patience", 1)
    for name, lr in (("good", 0.01), ("worse", 0.00001)):
        toy.train(*words, "--lr", lr, "--save-dir", tmp_path / name)
        for file in ("checkpoint2.pt", "checkpoint_best.pt"):
            assert (tmp_path / name / file).exists(), (name, file)
