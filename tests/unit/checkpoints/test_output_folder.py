"""Folders that commands write: complete or not at all, and never instead of what is read."""

import os
from pathlib import Path

import pytest

from lightpaff_fairseq.checkpoints.output_folder import OutputFolder, new_folder

MARK = "mark.json"


class Interrupted(BaseException):
    """As Ctrl-C: no Exception."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(out, text="new"):
    with new_folder(out) as folder:
        (folder / MARK).write_text(text)


@pytest.fixture
def old(tmp_path):
    out = tmp_path / "out"
    write(out, "old")
    return out


def test_of_a_link_the_folder_behind_it_is_replaced(old, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(old)
    write(link)
    assert link.is_symlink() and (old / MARK).read_text() == "new"
    assert {x.name for x in tmp_path.iterdir()} == {"out", "link"}


def test_a_link_to_nowhere(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "gone" / "out")
    with pytest.raises(ValueError, match=r"--out .*link: the folder .*gone does not exist"):
        OutputFolder(link, "--out", (MARK,), []).check(False)


@pytest.mark.parametrize("broken", [KeyboardInterrupt, OSError])
def test_the_old_folder_survives_whatever_happens_between_the_two_renames(old, monkeypatch, broken):
    replace, calls = Path.replace, []

    def interrupted(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise broken
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(broken):
        write(old)
    assert len(calls) == 3 and (old / MARK).read_text() == "old"
    assert os.listdir(old.parent) == ["out"]


def test_nothing_that_is_read_may_lie_in_it(old, tmp_path):
    (tmp_path / "data").symlink_to(old)
    other = tmp_path / "model.pt"
    for read in ([old / "model.pt"], [other, old], [other, tmp_path / "data"], [old / "a" / "b"]):
        with pytest.raises(ValueError, match="expected a folder that does not contain the input"):
            OutputFolder(old, "--out", (MARK,), read).check(True)
    OutputFolder(old, "--out", (MARK,), [other, tmp_path]).check(True)


def test_a_place_that_cannot_be_written_to(old, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != old.parent)  # root may write all
    with pytest.raises(ValueError, match=f"the folder {old.parent} cannot be written to"):
        OutputFolder(old, "--out", (MARK,), []).check(True)


def test_of_two_processes_the_first_one_wins(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="out: another process wrote this folder"):  # noqa: SIM117
        with new_folder(out) as folder:
            (folder / MARK).write_text("slow")
            write(tmp_path / "other", "fast")
            (tmp_path / "other").rename(out)
    assert (out / MARK).read_text() == "fast" and os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [OSError, Interrupted])
def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path, error, monkeypatch):
    with new_folder(tmp_path / "out") as folder:
        (folder / "old").write_text("")
    with pytest.raises(error), new_folder(tmp_path / "out") as folder:
        raise error
    rename, failed = type(tmp_path).replace, []

    def fails_once(self, target):
        """The new folder cannot be renamed, the old one is moved back."""
        if target.name == "out" and not failed:
            failed.append(self)
            raise error
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", fails_once)
    with pytest.raises(error), new_folder(tmp_path / "out"):
        pass
    assert failed and names(tmp_path) == ["out"] and names(tmp_path / "out") == ["old"]
