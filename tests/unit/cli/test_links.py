"""An output that is a link to itself, or has too long a name, is one sentence for every command."""

import pytest

from cases import CASES
from lightpaff_fairseq.cli.main import main
from setting import Setting

SS = next(case for case in CASES if case.name == "kd_ss")
CPU = ("--cpu", "--num-workers", "0")


@pytest.fixture(scope="module")
def translation(tmp_path_factory):
    setting = Setting(SS, tmp_path_factory.mktemp("links"))
    return setting.data, setting.path


def commands(data, path):
    """The words of each command but its output, and the flag of that."""
    reference = data / "dict.en.txt"
    yield ("strip", "--path", path), "--out"
    yield ("compact", "--path", path), "--out"
    yield ("init-student", "--teacher", path, "--arch", "transformer"), "--out"
    yield ("evaluate", data, "--path", path, "--references", reference), "--out"
    yield ("convert", "--from", "fairseq", path, "--to", "hf"), ""
    yield ("convert", "--from", "hf", data, "--to", "fairseq"), ""
    yield ("export", "--path", path, "--to", "onnx"), "--out"
    yield ("cache-teacher", data, "--task", "translation", "--path", path, *CPU), "--out"
    yield ("merge-caches", data), "--out"
    files = ("--teacher-model", path, "--model", path)
    yield ("vocabulary-map", "--teacher-data", data, "--data", data, *files), "--out"
    yield ("seq-kd", data, "--path", path, *CPU), "--out"
    yield ("seq-kd", data, "--path", path, *CPU, "--out", data.parent / "o"), "--hypotheses"
    yield ("augment", data, "--path", path), "--out"
    yield ("augment", data, "--path", path, "--out", data.parent / "o"), "--proposals"
    yield ("benchmark", "loss"), "--json"
    yield ("report", data), "--out"
    yield ("report", data, "--out", "o.html", "--plot", "kl_sparsity"), "--svg"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loop", "x" * 300])
def test_no_command_writes_there(name, translation, tmp_path, capsys):
    data, path = translation
    out = tmp_path / name
    if name == "loop":
        out.symlink_to(out)
    count = 0
    for words, flag in commands(data, path):
        words = [*words, *flag.split(), out]
        assert main([str(word) for word in words]) == 2, words[0]
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith(f"lightpaff {words[0]}: error: ")
        if words[0] != "merge-caches":  # its input is refused before
            assert f"{out}: cannot be written to: " in line, line
        count += 1
    assert count == 17
    assert [x.name for x in tmp_path.iterdir()] == ([name] if name == "loop" else [])
    assert not (data.parent / "o").exists() and not list(data.parent.glob("*.hypotheses"))
