"""`lightpaff report` as a command: its plot, what it refuses, and what it leaves behind."""

import json
import re
from xml.etree import ElementTree

import pytest

from report_files import (
    SVG,
    inner,
    pruning_log,
    recipe,
    report,
    start,
    sweep,
    training,
    write_log,
)


def test_kl_and_sparsity_as_a_file(tmp_path, capsys):
    folder = recipe(tmp_path / "r")
    for kind in ("platon", "magnitude"):
        pruning_log(folder / "logs" / f"pruned_{kind}.log")
    svg = tmp_path / "kl.svg"
    code, errors = report(capsys, folder, "--plot", "kl_sparsity", "--svg", svg)
    assert code == 0, errors
    root = ElementTree.parse(svg).getroot()
    words = [node.text for node in root.iter(f"{SVG}text")]
    assert {"pruned_platon", "pruned_magnitude", "sparsity (% of parameters)"} <= set(words)
    assert "teacher" not in words and "80 at update 600" not in root.find(f"{SVG}title").text
    code, errors = report(
        capsys,
        folder / "logs" / "teacher.log",
        *("--plot", "kl_sparsity"),
        "--svg",
        tmp_path / "b.svg",
    )
    assert code == 2 and "teacher has no kd_loss" in errors and not (tmp_path / "b.svg").exists()


def test_runs_that_do_not_prune_are_compared_by_their_loss(tmp_path, capsys):
    pruned = pruning_log(tmp_path / "pruned.log")
    dense = write_log(tmp_path / "dense.log", training(True))
    flags = ("--plot", "kl_sparsity", "--svg", tmp_path / "kl.svg")
    code, errors = report(capsys, pruned, dense, *flags)
    assert code == 0, errors
    root = ElementTree.parse(tmp_path / "kl.svg").getroot()
    assert {"pruned", "dense"} <= {node.text for node in root.iter(f"{SVG}text")}
    described = root.find(f"{SVG}desc").text
    assert "pruned: 0.8" in described and "dense" not in described
    code, errors = report(capsys, dense, "--plot", "kl_sparsity", "--svg", tmp_path / "b.svg")
    assert code == 2 and "no log has prune_sparsity" in errors


def test_bad_input_is_one_line_with_all_problems(tmp_path, capsys):
    (empty := tmp_path / "empty").mkdir()
    (broken := tmp_path / "broken").mkdir()
    (broken / "results.json").write_text('[\n {"name": "a",\n "params" 3}]')
    (lines := tmp_path / "x.jsonl").write_text('{"name": "a"}\n{"name":\n')
    (odd := tmp_path / "odd.json").write_text("[1]")
    binary = [tmp_path / name for name in ("b.log", "b.json", "b.jsonl")]
    for path in binary:
        path.write_bytes(b"\xff\xfe\x00")
    (other := tmp_path / "other.log").write_text("hello\n")
    paths = (tmp_path / "none", empty, broken, lines, odd, *binary, other)
    code, errors = report(capsys, *paths, "--out", tmp_path / "o.html")
    assert code == 2 and errors.count("\n") == 1
    for words in (
        f"{tmp_path / 'none'}: no such file or folder",
        f"{empty}: there is nothing to show; looked for results.json",
        "results.json: line 3, column 11: not JSON",
        "x.jsonl: line 2, column 9: not JSON",
        "odd.json: expected a list of models",
        *(f"{path}: expected a text file, got binary data" for path in binary),
        "other.log: expected a log of fairseq-train",
    ):
        assert words in errors
    assert not (tmp_path / "o.html").exists()


def test_flags_that_do_not_fit_are_refused_before_anything_is_read(tmp_path, capsys):
    code, errors = report(capsys, tmp_path / "none")
    assert code == 2 and "--out: expected a file" in errors and "no such file" not in errors
    assert (
        "expected --svg too" in report(capsys, "x", "--out", "o.html", "--plot", "kl_sparsity")[1]
    )
    assert "does not exist" in report(capsys, "x", "--out", tmp_path / "no" / "o.html")[1]
    assert "got a folder" in report(capsys, "x", "--out", tmp_path)[1]
    flags = ("--plot", "kl_sparsity", "--svg", "o.html")
    assert (
        "expected a different file from --out" in report(capsys, "x", "--out", "o.html", *flags)[1]
    )


@pytest.mark.parametrize("key", ["seed", "valid_accuracy", "soft"])
def test_sweeps_with_something_else_than_numbers_and_words_are_refused(tmp_path, capsys, key):
    path = sweep(tmp_path / "sweep") / "results.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | {key: [1]})
    path.write_text("\n".join(lines))
    code, errors = report(capsys, tmp_path / "sweep", "--out", tmp_path / "o.html")
    assert code == 2 and re.search(rf"line 3: {key}: expected a (number|word), got \[1\]", errors)


def test_results_that_cannot_be_do_not_break_the_page(tmp_path, capsys):
    results = [{"name": "teacher", "accuracy": 101.0, "sentences": 10}]
    results += [{"name": "s", "accuracy": 120.0, "sentences": 10}]
    (path := tmp_path / "r.json").write_text(json.dumps(results))
    assert report(capsys, path, "--out", tmp_path / "o.html") == (0, "")


def test_an_existing_page_stays_until_the_new_one_is_whole(tmp_path, capsys):
    (out := tmp_path / "o.html").write_text("old")
    log = write_log(tmp_path / "s.log", [*start(), inner(1, loss=1)])
    code, errors = report(capsys, log, "--out", out)
    assert code == 2 and "exists already; --force overwrites it" in errors
    assert report(capsys, tmp_path / "none", "--out", out, "--force")[0] == 2
    assert out.read_text() == "old"
    assert report(capsys, log, "--out", out, "--force")[0] == 0
    assert out.read_text().startswith("<!DOCTYPE html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.html", "s.log"]


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named(package, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    log = write_log(tmp_path / "s.log", training(True))
    code, errors = report(capsys, log, "--out", tmp_path / "o.html")
    assert code == 2 and package in errors.lower() and "lightpaff-fairseq[plots]" in errors
