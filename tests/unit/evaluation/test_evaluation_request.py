"""`lightpaff evaluate` refuses bad flags before any work, all at once."""

from pathlib import Path

import pytest

from evaluated import REFERENCES, output, run_cli
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.evaluation.evaluation_request import EvaluationRequest, check_request
from lightpaff_fairseq.evaluation.model_rows import ModelFile


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--name", "x"], "--name: expected 2 names"),
        (["--name", "x", "x"], "--name: expected different"),
        (["--group", "x"], "--group: expected 2 names, one per --path, got 1"),
        (["--repeats", "0"], "--repeats 0: expected 1 or more"),
        (["--beam", "0"], "--beam 0: expected 1 or more"),
        (["--compare", "a", "c"], "expected two of a, b, got c"),
        (["--references", "nowhere"], "--references nowhere"),
        (["--out", "no/r.json"], f"--out no/r.json: the folder {Path.cwd() / 'no'} does not exist"),
        (["--out", "."], "--out .: expected a file name, got a folder"),
        (["--teacher", "nowhere.pt"], "--teacher nowhere.pt: no such file"),
        (["--data-of", "c=."], "--data-of c=.: expected NAME=DIR with a name of a, b"),
        (["--data-of", "a=no"], "--data-of a=no: expected a folder, got none"),
        (["--data-of", "a=.", "a=.."], "--data-of: expected a once"),
        (["--data-of", "a=.", "--teacher", "t.pt"], "--teacher: expected no --data-of, since"),
        (["--path", "nowhere.pt"], "--path nowhere.pt: no such file"),
    ],
)
def test_bad_flags_are_refused_before_any_translation(world, flags, words, capsys):
    world.answers.append(output(REFERENCES))
    assert run_cli(world, *flags) == 2
    assert words in capsys.readouterr().err
    assert not world.calls


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--task", "translation"], "--references: expected a text file"),
        (["--task", "language_modeling", "--compare", "m", "m"], "--compare: expected --task"),
        (["--task", "language_modeling", "--tokens-per-sample", "0"], "--tokens-per-sample"),
        (["--task", "language_modeling", "--references", "a", "b"], "got 2"),
        (["--task", "language_modeling", "--data-of", "m=."], "--data-of: expected --references"),
    ],
)
def test_flags_that_do_not_fit_the_task_are_refused(tmp_path, flags, words, capsys):
    (tmp_path / "m.pt").touch()
    assert main(["evaluate", str(tmp_path), "--path", str(tmp_path / "m.pt"), *flags]) == 2
    assert words in capsys.readouterr().err


def test_all_problems_are_listed_at_once(world, capsys):
    run_cli(world, "--beam", "0", "--repeats", "0", "--name", "x")
    error = capsys.readouterr().err
    assert "--beam" in error and "--repeats" in error and "--name" in error


def test_names_default_to_the_files(tmp_path):
    (tmp_path / "x.pt").touch()
    request = EvaluationRequest(tmp_path, [tmp_path / "x.pt"], references=(tmp_path / "y",))
    assert check_request(request) == [ModelFile("x", tmp_path / "x.pt", "x", tmp_path)]
