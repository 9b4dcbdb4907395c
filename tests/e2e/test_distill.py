"""`lightpaff distill` from teacher to served student, for every family, as a user runs it."""

import json
import shutil
import subprocess

import pytest

import toy
from lightpaff_fairseq.cli.main import main as lightpaff

WIDE = ("--encoder-embed-dim", 32, "--encoder-ffn-embed-dim", 128)
TEACHERS = {
    "translation": (
        *("--arch", "transformer_mass_tiny", *WIDE, "--encoder-layers", 3, "--decoder-layers", 3),
        *("--max-source-positions", 32, "--max-target-positions", 32),
    ),
    "language_modeling": ("--arch", "transformer_lm_gpt2_micro", "--tokens-per-sample", 32),
    "sentence_prediction": (
        *("--arch", "roberta_tiny", "--num-classes", 3, "--init-token", 0),
        *("--max-positions", 24),
    ),
}
CRITERIONS = {"language_modeling": "cross_entropy", "sentence_prediction": "sentence_prediction"}
PACKAGES = {"sentence_prediction": "onnxruntime"}
WRITE = {
    "translation": toy.write_parallel,
    "language_modeling": toy.write_monolingual,
    "sentence_prediction": toy.write_labeled,
}


def write_data(folder, task):
    WRITE[task](folder, count=40)
    for path in folder.rglob("valid*"):  # two of the toy data sets have no test split
        copy = path.with_name(path.name.replace("valid", "test"))
        if not copy.exists():
            shutil.copyfile(path, copy)
    return folder


def save(path, *words):
    """Write an untrained model."""
    _, model, _ = toy.build(*words)
    return toy.save_model(path, toy.parse(*words), model)


def _pretraining(folder):
    """The flags of a pre-trained teacher and its text."""
    text = toy.write_monolingual(folder / "mono", count=40)
    task = ("--task", "masked_seq2seq", "--tokens-per-sample", 32, "--sample-break-mode", "eos")
    words = (text, *task, *TEACHERS["translation"], "--criterion", "cross_entropy")
    words = [x if x != "transformer_mass_tiny" else "mass_tiny" for x in words]
    teacher = save(folder / "pretrained.pt", *words)
    flags = ("--pretrained-teacher", teacher, "--text", text, "--pretrain-updates", 4)
    flags += ("--pretrain-lr", 0.003, "--pretrain-flags", "--weight-decay 0.003")
    return [str(x) for x in flags]


@pytest.fixture(scope="module", params=sorted(TEACHERS))
def distilled(request, tmp_path_factory):
    """A distillation of every family: its words, OUT, and what it printed."""
    task = request.param
    pytest.importorskip(PACKAGES.get(task, "ctranslate2"))
    folder = tmp_path_factory.mktemp(task)
    data = write_data(folder / "data", task)
    words = (data, "--task", task, *TEACHERS[task])
    words = (*words, "--criterion", CRITERIONS.get(task, "cross_entropy"))
    teacher = save(folder / "teacher.pt", *words)
    command = ["distill", "--teacher", str(teacher), "--data", str(data), "--baseline"]
    command += _pretraining(folder) if task == "translation" else []
    command += ["--out", str(folder / "out"), "--max-drop", "100"]
    # auto decides by measured times
    command += ["smaller=2", "updates=6", "max_tokens=200", "sequence_kd=no"]
    return task, command, folder / "out"


def test_from_a_teacher_to_a_served_student(distilled, capsys):
    task, command, out = distilled
    if task == "sentence_prediction":
        assert lightpaff([*command, "--dry-run"]) == 0
        assert "together about" in capsys.readouterr().out
        assert not out.exists()  # a plan writes nothing

    assert lightpaff(command) == 0
    printed = capsys.readouterr().out
    assert "[--smaller" in printed and "together about" in printed
    for name in ("student.pt", "baseline.pt", "served", "results.json", "report.html"):
        assert (out / name).exists(), name
        assert name in (out / "commands.sh").read_text()
    rows = json.loads((out / "results.json").read_text())
    assert [row["name"] for row in rows] == ["teacher", "student without distillation", "student"]
    assert rows[2]["params"] == rows[1]["params"] < rows[0]["params"] / 1.9
    for row in rows:
        assert f"| {row['name']}" in printed
    assert "times faster" in printed and str(out / "report.html") in printed
    assert (out / "served" / "use.py").exists()
    record = json.loads((out / "served" / "export.json").read_text())
    if task == "translation":  # quality and speed are of the beam that is served
        assert f"| student ctranslate2-int8, beam {record['beam']} " in printed

    assert lightpaff(command) == 0
    printed = capsys.readouterr().out
    assert printed.count("finished before, reused") == printed.count("[") - printed.count("[--")


def test_changed_settings_are_refused_by_name(distilled, capsys):
    _, command, out = distilled
    before = sorted(out.rglob("*"))
    assert lightpaff([*command, "updates=7", "seed=2"]) == 2
    error = capsys.readouterr().err
    assert "updates: 6 in" in error and "seed: 1 in" in error
    assert "\n" not in error.strip()
    assert sorted(out.rglob("*")) == before


def test_the_script_says_the_same(distilled):
    _, _, out = distilled
    subprocess.run(["bash", "-n", out / "commands.sh"], check=True)
    plan = json.loads((out / "plan.json").read_text())
    script = (out / "commands.sh").read_text()
    for lanes in plan["stages"]:
        for lane in lanes:
            for step in lane:
                assert f"# {step['title']}\n{step['command'][0]} " in script
                words = " ".join(step["command"])
                is_first = "--lr 0.003 " in words and words.endswith("--weight-decay 0.003")
                assert is_first == (step["name"] == "pretraining")


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
