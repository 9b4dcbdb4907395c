"""Files and folders that appear complete or not at all, wherever they are asked for."""

import json
import os

import pytest

from lightpaff_fairseq.checkpoints.output_folder import OutputFolder, new_folder
from lightpaff_fairseq.output_file import (
    file_problem,
    replacing,
    write_json,
    write_text,
)


class Interrupted(BaseException):
    """As Ctrl-C: no Exception."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("error", [OSError, Interrupted])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "r.json"
    write_json(path, [{"name": "å"}], "--out")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert json.loads(path.read_text(encoding="utf-8")) == [{"name": "å"}]
    assert names(tmp_path) == ["r.json"]


def test_a_full_disk_is_one_sentence_with_the_flag(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "r.html"
    with pytest.raises(ValueError, match=f"^--out {path}: cannot be written: .*No space left"):
        write_text(path, "x", "--out")
    assert not names(tmp_path)


def test_links_stay_and_lead_to_what_is_new(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "real")
    (tmp_path / "page").symlink_to(tmp_path / "disk" / "page.html")
    for content in ("old", "new"):
        write_text(tmp_path / "page", content, "--out")
        with new_folder(tmp_path / "link") as folder:
            (folder / content).write_text("")
    assert names(tmp_path) == ["disk", "link", "page"] and names(tmp_path / "link") == ["new"]
    assert names(tmp_path / "disk") == ["page.html", "real"]
    assert (tmp_path / "link").is_symlink() and (tmp_path / "page").is_symlink()
    assert (tmp_path / "page").read_text() == "new"


def test_places_that_cannot_be_written_are_named(tmp_path, monkeypatch):
    (tmp_path / "there").write_text("")
    for path, overwrite, words in (
        (tmp_path, True, "got a folder"),
        (tmp_path / "no" / "x", True, f"the folder {tmp_path / 'no'} does not exist"),
        (tmp_path / "there", False, "exists already; --force overwrites it"),
    ):
        assert file_problem(path, "--out", overwrite).startswith(f"--out {path}: ")
        assert words in file_problem(path, "--out", overwrite)
    assert file_problem(tmp_path / "there", "--out", True) is None
    place = OutputFolder(tmp_path / "new", "--out", ("mark",), [])
    assert place.problem(force=False) is None
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert "cannot be written to" in file_problem(tmp_path / "there", "--out", True)
    assert "cannot be written to" in place.problem(force=False)
