"""A command of fairseq-train as a file for fairseq-hydra-train."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import hydra_runs
import toy
from lightpaff_fairseq.cli.main import main

ROOT = Path(toy.USER_DIR).parent
PAIRS = "fairseq-train data --task translation --arch transformer --optimizer adam"
BAD = {
    "--out x.txt: expected a name that ends in .yaml": ("x.txt", PAIRS),
    "DATA: expected the arguments of fairseq-train, got none": ("x.yaml", "fairseq-train"),
    "--out there.yaml: exists already; --force overwrites it": ("there.yaml", PAIRS),
    "the folder": ("none/x.yaml", PAIRS),
    "--optimizer sgd: expected one that has a dataclass": ("x.yaml", f"{PAIRS[:-4]}sgd"),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_one_line_before_anything_is_written(message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("there.yaml").write_text("kept")
    out, words = BAD[message]
    assert main(["hydra-config", "--out", out, *words.split()]) == 2
    assert message in capsys.readouterr().err
    assert [(x.name, x.read_text()) for x in tmp_path.iterdir()] == [("there.yaml", "kept")]


def test_paths_are_absolute_and_a_changed_setting_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = f"{PAIRS} --criterion kd_ss --kd-teacher a.pt:b.pt --save-dir run --bf16"
    assert main(["hydra-config", "--out", "x.yaml", *words.split()]) == 0
    content = yaml.safe_load(Path("x.yaml").read_text())
    assert content["task"]["data"] == str(tmp_path / "data")
    assert content["criterion"]["kd_teacher"] == f"{tmp_path}/a.pt:{tmp_path}/b.pt"
    assert content["common"] == {"bf16": True, "user_dir": toy.USER_DIR}  # no TPU
    assert content["checkpoint"]["save_dir"] == "."
    run, sweep = (content["hydra"][x] for x in ("run", "sweep"))
    assert run["dir"] == f"{sweep['dir']}/{sweep['subdir']}" and "override_dirname" in run["dir"]
    cfg = hydra_runs.composed(tmp_path / "x.yaml", "criterion.kd_temperature=2")  # without a plus
    assert (cfg.criterion.kd_temperature, cfg.criterion.kd_lambda) == (2, 0.5)


@pytest.mark.slow
def test_criterions_of_the_plugin_are_a_group(tmp_path):
    """In a process of its own, where only the search path makes them known."""
    (tmp_path / "mine.yaml").write_text(
        """
hydra: {searchpath: ["pkg://lightpaff_fairseq"]}
defaults: [_self_, {task: translation}, {criterion: cross_entropy}]
model: {_name: transformer}
"""
    )
    code = "from fairseq_cli.hydra_train import cli_main; cli_main()"
    command = [sys.executable, "-c", code, "--config-dir", tmp_path, "--config-name", "mine"]
    words = ("criterion=kd_ss", "criterion.kd_lambda=0.7", "task.data=x", "--cfg", "job")
    printed = subprocess.run(
        [*map(str, command), *words], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    cfg = yaml.safe_load(printed)
    assert cfg["criterion"]["_name"] == "kd_ss" and cfg["criterion"]["kd_lambda"] == 0.7
    assert cfg["criterion"]["label_smoothing"] == 0 and cfg["task"]["data"] == "x"
