"""The `lightpaff` command: every sub-command explains itself, bad input is one line."""

import argparse
import importlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from fairseq import utils
from setuptools import find_packages

import lightpaff_fairseq
from lightpaff_fairseq.cli.benchmark import LazyParser
from lightpaff_fairseq.cli.main import build_parser, main

ROOT = Path(__file__).resolve().parents[3]


def leaves(parser, path=()):
    """Every sub-command without sub-commands of its own, as a list of words, with its parser."""
    if isinstance(parser, LazyParser):
        parser.complete()
    children = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not children:
        yield list(path), parser
    for action in children:
        for name, child in action.choices.items():
            yield from leaves(child, (*path, name))


COMMANDS = {" ".join(path): parser for path, parser in leaves(build_parser())}


def test_sub_commands():
    assert {"user-dir", "strip", "evaluate", "benchmark loss"} <= set(COMMANDS)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: lightpaff {command}".strip())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_is_explained(command):
    parser = COMMANDS[command]
    assert callable(parser.get_default("func"))
    assert all(action.help for action in parser._actions)


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"lightpaff {lightpaff_fairseq.__version__}\n"
    assert metadata.version("lightpaff-fairseq") == lightpaff_fairseq.__version__


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["strip"], ["benchmark"]])
def test_incomplete_command_lines(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    assert "usage: lightpaff" in capsys.readouterr().err


def test_user_dir_is_what_fairseq_imports(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["user-dir"]) == 0
    (folder,) = capsys.readouterr().out.splitlines()
    assert Path(folder).is_absolute()
    utils.import_user_module(argparse.Namespace(user_dir=folder))
    module = importlib.import_module(Path(folder).name)
    assert module is lightpaff_fairseq
    assert Path(module.__file__).parent == Path(folder)


def test_bad_input_is_one_line(capsys, tmp_path):
    missing = tmp_path / "missing.pt"
    assert main(["strip", "--path", str(missing), "--out", str(tmp_path / "x.pt")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("lightpaff strip: error: --path") and str(missing) in line


def test_ctrl_c_is_one_line(capsys, monkeypatch):
    def interrupted(_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("lightpaff_fairseq.cli.user_dir.run", interrupted)
    assert main(["user-dir"]) == 130
    assert capsys.readouterr().err == "lightpaff user-dir: interrupted\n"


def test_every_folder_with_modules_is_packaged():
    packages = find_packages(str(ROOT), include=["lightpaff_fairseq", "lightpaff_fairseq.*"])
    folders = {path.parent for path in (ROOT / "lightpaff_fairseq").rglob("*.py")}
    assert {".".join(folder.relative_to(ROOT).parts) for folder in folders} == set(packages)
    assert len(packages) >= 7


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ValueError("--path x: no"), 2, "lightpaff user-dir: error: --path x: no\n"),
        (OSError(28, "No space left on device", "x.pt"), 1, "No space left on device: 'x.pt'\n"),
        (KeyboardInterrupt(), 130, "lightpaff user-dir: interrupted\n"),
    ],
)
def test_what_stops_a_command_is_one_line(monkeypatch, capsys, error, code, words):
    def stop(args):
        raise error

    monkeypatch.setattr("lightpaff_fairseq.cli.user_dir.run", stop)
    assert main(["user-dir"]) == code
    printed = capsys.readouterr()
    assert printed.err.endswith(words) and printed.err.count("\n") == 1 and not printed.out


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error():
    command = f"{sys.executable} -m lightpaff_fairseq.cli.main flags | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("# ") and "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr
