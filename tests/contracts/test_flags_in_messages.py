"""Messages of commands that take fairseq's flags name only flags that these commands have."""

import shutil

import pytest
import torch

import toy
from caching import build_cache
from cases import CASES
from lightpaff_fairseq.cli.main import main
from message_flags import check_flags, own_flags
from seq_kd_runs import seq_kd

SS, LU, MLM = (next(c for c in CASES if c.name == name) for name in ("kd_ss", "kd_lu", "kd_mlm"))


def message_of(command, task, capsys, code, out):
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and not out.exists(), lines
    assert len(lines) == 1 and lines[0].startswith(f"lightpaff {command}: error: ")
    check_flags(command, lines[0], task)
    return lines[0]


def foreign(setting, folder, **changes):
    """A checkpoint of the teacher with another weight or another configuration."""
    state = toy.checkpoint(setting.path)
    for name, change in changes.items():
        change(state[name])
    torch.save(state, folder / "foreign.pt")
    return folder / "foreign.pt"


def teachers(setting, settings, folder):
    """Teachers that cannot be used, and a word of the message."""
    (folder / "text.pt").write_text("no checkpoint")
    rename = {"cfg": lambda cfg: cfg["model"].__setattr__("_name", "unknown_model")}
    drop = {"model": lambda tensors: tensors.pop("decoder.layers.0.fc1.weight")}
    yield folder / "none.pt", "no such file"
    yield folder / "text.pt", "expected a fairseq checkpoint"
    yield f"{setting.path}:", "separated by one colon"
    yield settings(MLM).path, ""
    yield foreign(setting, folder, **drop), "weights do not fit"
    yield foreign(setting, folder, **rename), "unknown_model"


def test_teachers_that_cannot_be_used(settings, tmp_path, capsys):
    setting, out = settings(SS), tmp_path / "out"
    for path, words in teachers(setting, settings, tmp_path):
        for command in ("cache-teacher", "seq-kd"):
            run = build_cache if command == "cache-teacher" else seq_kd
            code = run(setting, out, "--path", path)
            message = message_of(command, "translation", capsys, code, out)
            assert words in message and "--path" in message and "--kd-teacher" not in message


def test_a_teacher_of_other_classes(settings, tmp_path, capsys):
    out = tmp_path / "out"
    code = build_cache(settings(LU), out, "--path", settings(MLM).path)
    message = message_of("cache-teacher", "sentence_prediction", capsys, code, out)
    assert f"--path {settings(MLM).path}" in message


@pytest.mark.parametrize("command", ["cache-teacher", "seq-kd"])
def test_data_folders_without_data(settings, tmp_path, capsys, command):
    setting, out = settings(SS), tmp_path / "out"
    empty, foreign_folder = tmp_path / "empty", tmp_path / "photos"
    for folder in (empty, foreign_folder):
        folder.mkdir()
    (foreign_folder / "a.jpg").write_text("x")
    no_dictionary = shutil.copytree(setting.data, tmp_path / "nodict")
    (no_dictionary / "dict.en.txt").unlink()
    no_split = shutil.copytree(setting.data, tmp_path / "nosplit")
    for path in no_split.glob("train*"):
        path.write_bytes(b"")
    for folder in (empty, foreign_folder, no_dictionary, no_split, tmp_path / "none"):
        words = ["--path", setting.path, "--out", out, "--cpu", "--task", "translation"]
        code = main([str(x) for x in (command, folder, *words, "--num-workers", 0)])
        message_of(command, "translation", capsys, code, out)


def test_the_check_itself():
    assert "--out" in own_flags("seq-kd") and "--kd-teacher-data" in own_flags("seq-kd")
    for command in ("seq-kd", "cache-teacher", "export"):
        with pytest.raises(AssertionError, match="has no"):
            check_flags(command, "--kd-teacher x.pt: no such file")
