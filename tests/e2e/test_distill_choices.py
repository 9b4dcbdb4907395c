"""`lightpaff distill` with other choices than those of the plan, and from its own files."""

import json

import pytest

from distill_runs import TEACHERS, save, write_data
from lightpaff_fairseq.cli.main import main as lightpaff

pytestmark = pytest.mark.usefixtures("forked")  # but for the training behind --launch


def test_other_choices_on_one_road(tmp_path, capsys, monkeypatch):
    """Translations as targets, the teacher in every update, a given student, nothing served."""
    data = write_data(tmp_path / "data", "translation")
    words = (data, "--task", "translation", *TEACHERS["translation"])
    save(tmp_path / "teacher.pt", *words, "--criterion", "cross_entropy")
    arch = "transformer_mass_tiny --encoder-layers 1 --encoder-embed-dim 16 --decoder-layers 1"
    arch += " --encoder-ffn-embed-dim 64 --max-source-positions 32 --max-target-positions 32"
    monkeypatch.chdir(tmp_path)
    command = ["distill", "--teacher", "teacher.pt", "--data", "data", "--out", "out"]
    command += ["--arch", arch, "--sequence-kd", "yes", "--cache", "no", "--serve", "none"]
    command += ["--launch", "env STARTED=1", "--updates", "3", "--max-tokens", "200"]
    assert lightpaff(command) == 0, capsys.readouterr().err
    out = tmp_path / "out"
    script = (out / "commands.sh").read_text()
    assert (
        "lightpaff seq-kd" in script
        and 'env STARTED=1 fairseq-train "$OUT/sequence_data"' in script
    )
    assert "cache-teacher" not in script and "export" not in script
    names = [row["name"] for row in json.loads((out / "results.json").read_text())]
    assert names == ["teacher", "student"]

    capsys.readouterr()
    again = ["distill", "--teacher", "teacher.pt", "--data", "data", "--out", "again"]
    again += ["--init", "out/student.pt", "--kd-lambda", "0", "--serve", "none", "--updates", "3"]
    assert lightpaff([*again, "--max-tokens", "200"]) == 0, capsys.readouterr().err
    script = (tmp_path / "again" / "commands.sh").read_text()
    assert f"--finetune-from-model {out / 'student.pt'}" in script
    assert "--kd-teacher" not in script and "init-student" not in script
    results = (json.loads((tmp_path / x / "results.json").read_text()) for x in ("out", "again"))
    first, second = (rows[1] for rows in results)
    assert first["params"] == second["params"]
    capsys.readouterr()

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # paths are stored as absolute ones
    config = ["distill", "--config", str(out / "config.yaml")]
    assert lightpaff(config) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert printed.count("finished before, reused") == len(list((out / "steps").iterdir()))
