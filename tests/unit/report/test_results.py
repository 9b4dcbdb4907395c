"""Folders and files are read as recipes and sweeps leave them."""

import json

import pytest

from lightpaff_fairseq.report.results import model_names, read_runs, short_titles
from report_files import recipe, sweep, training, write_log


def test_a_folder_is_read_as_a_recipe_leaves_it(tmp_path):
    folder = recipe(tmp_path / "polarity")
    sweep(folder / "sweep")
    run, swept = read_runs([folder])
    assert list(run.labels().items())[:2] == [
        ("teacher", "teacher"),
        ("student_plain_plain", "no KD"),
    ]
    assert len(run.rows) == 5 and len(run.logs) == 6 and "prepare" not in run.logs
    assert run.commands["student_kd_kd"].text.endswith("--adam-betas '(0.9, 0.98)' --seed 4")
    assert swept.title == "polarity/sweep" and len(swept.sweep.rows) == 8
    assert set(swept.sweep.panels()) == {"knowledge", "soft"}
    assert [s.mean for s in swept.sweep.panels()["soft"]] == [70.6875, 72.6875]


def test_folders_of_distill_show_their_trainings(tmp_path):
    """A folder itself, and a recipe of several, whose students all have one file name."""
    names = {"teacher": "a/teacher.pt", "one": "a/student.pt", "two": "b/student.pt"}
    rows = [{"name": name, "path": str(tmp_path / path)} for name, path in names.items()]
    for folder in ("a", "b"):
        write_log(tmp_path / folder / "logs" / "training.log", training(True))
        write_log(tmp_path / folder / "logs" / "student.log", ["stripped"])
        (tmp_path / folder / "plan.json").write_text("{}")
    (tmp_path / "results.json").write_text(json.dumps(rows))
    (tmp_path / "a" / "results.json").write_text(json.dumps(rows[:2]))
    (run,), (recipe_,) = read_runs([tmp_path / "a"]), read_runs([tmp_path])
    assert not run.notes and list(run.logs) == ["student"] and list(recipe_.logs) == ["one", "two"]
    for log in (*run.logs.values(), *recipe_.logs.values()):
        assert log.minutes == 30 and len(log.curves["valid"]["accuracy"]) == 3


def test_rows_are_matched_to_logs_and_never_mixed_up():
    def rows(*paths):
        return [{"name": f"row {i}", "path": path} for i, path in enumerate(paths)]

    assert model_names(rows("OUT/a.pt", "OUT/b/checkpoint_best.pt")) == ["a", "b"]
    assert model_names(rows("x/checkpoint_best.pt", "x/checkpoint_last.pt")) == ["row 0", "row 1"]
    assert model_names([{"name": "alone"}]) == ["alone"]


def test_a_sweep_with_holes_is_refused(tmp_path):
    path = sweep(tmp_path / "sweep") / "results.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[2])
    del row["soft"], row["valid_accuracy"]
    path.write_text("\n".join([*lines[:2], json.dumps(row), *lines[3:]]))
    with pytest.raises(ValueError, match="line 3: there is no soft, a result in accuracy"):
        read_runs([tmp_path / "sweep"])


def test_runs_of_one_name_are_told_apart(tmp_path):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "c" / "other.log"]
    assert list(short_titles(paths).values()) == ["a/run", "b/run", "other"]
    logs = [write_log(tmp_path / name / "train.log", training(True)) for name in ("a", "b")]
    (run,) = read_runs(logs)
    assert list(run.logs) == ["a/train", "b/train"], "single logs are compared with each other"
