"""The script that runs fairseq's own tests with and without the plug-in."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))

import fairseq_tests

TESTS = """
import sys

PLUGIN = "lightpaff_fairseq" in sys.modules

def test_equal():
    pass

def test_broken_by_the_plugin():
    assert not PLUGIN

def test_repaired_by_the_plugin():
    assert PLUGIN

def test_broken():
    raise KeyError("a b")
"""


@pytest.mark.slow
def test_what_differs_is_listed(tmp_path, monkeypatch, capsys):
    (tmp_path / "test_toy.py").write_text(TESTS)
    monkeypatch.setenv("FAIRSEQ_TESTS", str(tmp_path))
    assert fairseq_tests.main([]) == 1
    printed = capsys.readouterr().out
    assert "4 tests without the plug-in, 4 with it\nfail in both runs: 1;" in printed
    assert "  1 times KeyError: 'a b'\nfail only with the plug-in: 1\n" in printed
    only = printed[printed.index("fail only with the plug-in") :]
    names = [line.split(": ")[0].strip() for line in only.splitlines() if line.startswith("  ")]
    assert names == [f"tests.test_toy::test_{x}_by_the_plugin" for x in ("broken", "repaired")]
    assert [x.name for x in tmp_path.iterdir()] == ["test_toy.py"], "nothing is left there"
    assert fairseq_tests.main(["-k", "equal or repaired"]) == 0
    with pytest.raises(SystemExit, match="ended with code 4"):
        fairseq_tests.main(["--no-such-flag"])


@pytest.mark.parametrize("folder", ["", "missing", "."])
def test_a_folder_without_tests_is_refused(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAIRSEQ_TESTS", folder)
    assert fairseq_tests.main([]) == 2
    assert f"FAIRSEQ_TESTS={folder}" in capsys.readouterr().err
