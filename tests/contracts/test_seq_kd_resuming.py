"""`lightpaff seq-kd` that is stopped, split, repeated: always the same data, or none."""

import itertools
import os

import pytest
import torch

from lightpaff_fairseq.sequence_kd import assemble, corpus
from lightpaff_fairseq.sequence_kd.data_folder import DataFolder
from seq_kd_runs import SAMPLING, Killed, files, lines, seq_kd


def test_a_killed_run_continues_as_if_undisturbed(setting, tmp_path, monkeypatch):
    flags = (*SAMPLING, "--mix", 0.25, "--seed", 5)
    assert seq_kd(setting, tmp_path / "a", *flags) == 0
    real, written = assemble.write_block, []

    def dies_at_the_third(path, answers, plan):
        written.append(path)
        if len(written) == 3:
            path.with_name(f"{path.name}.1.tmp").write_bytes(b"half")  # what SIGKILL leaves
            raise Killed
        real(path, answers, plan)

    monkeypatch.setattr(assemble, "write_block", dies_at_the_third)
    with pytest.raises(Killed):
        seq_kd(setting, tmp_path / "b", *flags)
    assert not (tmp_path / "b").exists()
    torch.manual_seed(12345)  # the state that another process would have
    assert seq_kd(setting, tmp_path / "b", *flags) == 0
    assert len(written) == 3 + 3
    assert files(tmp_path / "a") == files(tmp_path / "b")
    blocks = [{p.name: p for p in tmp_path.glob(f"{x}.hypotheses/*.npz")} for x in "ab"]
    assert not list(tmp_path.rglob("*.tmp"))
    assert len(blocks[0]) == 5 and blocks[0].keys() == blocks[1].keys()


@pytest.mark.parametrize("when", ["decoded", "written"])
def test_a_failure_while_writing_leaves_no_data_folder(setting, tmp_path, monkeypatch, when):
    name = "_add_originals" if when == "decoded" else "DataFolder.close"
    target = assemble.DataFolder if "." in name else assemble

    def fails(*_args):
        raise Killed

    monkeypatch.setattr(target, name.split(".")[-1], fails)
    with pytest.raises(Killed):
        seq_kd(setting, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out.hypotheses"]


def test_a_full_disk_leaves_no_data_folder(setting, tmp_path, monkeypatch, capsys):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(corpus.shutil, "copyfile", full)  # of the other splits
    assert seq_kd(setting, tmp_path / "out") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out.hypotheses"]


def test_shards_together_are_the_whole(setting, tmp_path, capsys):
    assert seq_kd(setting, tmp_path / "whole", *SAMPLING) == 0
    for shard in (2, 0, 1):
        assert not (tmp_path / "out").exists()
        assert (
            seq_kd(setting, tmp_path / "out", *SAMPLING, "--num-shards", 3, "--shard-id", shard)
            == 0
        )
    assert "blocks of other shards are missing" in capsys.readouterr().out
    assert files(tmp_path / "whole") == files(tmp_path / "out")


def test_shards_that_finish_at_once_write_the_same_folder_once(setting, tmp_path, monkeypatch):
    verify, numbers, times = DataFolder._verify, itertools.count(10**6), []

    def meanwhile(self):
        """Before this shard renames its folder, another one does."""
        verify(self)
        times.append(self.folder)
        assert len(times) > 1 or seq_kd(setting, tmp_path / "out") == 0

    monkeypatch.setattr(os, "getpid", lambda: next(numbers))
    monkeypatch.setattr(DataFolder, "_verify", meanwhile)
    assert seq_kd(setting, tmp_path / "out") == 0
    assert len(set(times)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"out", "out.hypotheses"}


def test_sampling_depends_on_the_seed_alone(setting, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert seq_kd(setting, tmp_path / name, *SAMPLING, "--seed", seed) == 0
    a, b, c = (lines(tmp_path / name) for name in "abc")
    assert a == b != c


def test_hypotheses_serve_other_choices_without_the_teacher(setting, tmp_path, monkeypatch):
    assert seq_kd(setting, tmp_path / "a") == 0
    monkeypatch.setattr(assemble, "load_decoder", None)
    stored = ("--hypotheses", tmp_path / "a.hypotheses")
    assert seq_kd(setting, tmp_path / "b", *stored, "--nbest", 3, "--mix", 0.5) == 0
    assert len(lines(tmp_path / "b")) > len(lines(tmp_path / "a"))
    assert seq_kd(setting, tmp_path / "b", *stored) == 2  # --out exists
    assert seq_kd(setting, tmp_path / "b", *stored, "--force") == 0
    names = {"a", "a.hypotheses", "b"}
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert {path.name for path in tmp_path.iterdir()} == names
