"""`lightpaff distill` from teacher to served student, for every family, as a user runs it."""

import json
import subprocess

import pytest
import torch

import hydra_runs
import toy
from distill_runs import CRITERIONS, TEACHERS, save, write_data
from lightpaff_fairseq.checkpoints.state_dict import check_equal_tensors
from lightpaff_fairseq.cli.main import main as lightpaff
from lightpaff_fairseq.distill.probe import environment
from lightpaff_fairseq.report.results import read_runs

pytestmark = pytest.mark.usefixtures("forked")


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


PACKAGES = {
    "translation": ("ctranslate2", "thot"),
    "language_modeling": ("ctranslate2",),
    "sentence_prediction": ("onnxruntime",),
}


@pytest.fixture(scope="module", params=sorted(TEACHERS))
def distilled(request, tmp_path_factory):
    """A distillation of every family: its words, OUT, and what it printed."""
    task = request.param
    for package in PACKAGES[task]:
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp(task)
    data = write_data(folder / "data", task)
    words = (data, "--task", task, *TEACHERS[task])
    words = (*words, "--criterion", CRITERIONS.get(task, "cross_entropy"))
    teacher = save(folder / "teacher.pt", *words)
    command = ["distill", "--teacher", str(teacher), "--data", str(data), "--baseline"]
    command += [*_pretraining(folder), "--shortlist"] if task == "translation" else []
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
    (report,) = read_runs([out])
    for name in ("student", "baseline"):
        assert report.logs[name].minutes is not None and "loss" in report.logs[name].curves["valid"]
    record = json.loads((out / "served" / "export.json").read_text())
    if task == "translation":  # quality and speed are of the beam that is served
        assert f"| student ctranslate2-int8, beam {record['beam']} " in printed
        assert record["shortlist"]["pairs"] == 40 and (out / "served" / "vmap.txt").exists()

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


def test_the_script_says_the_same(distilled, tmp_path):
    task, _, out = distilled
    subprocess.run(["bash", "-n", out / "commands.sh"], check=True)
    trainings = (out / "commands.sh").read_text().split("fairseq-train ")
    chosen = {"translation": "bleu", "sentence_prediction": "num_updates"}.get(task, "loss")
    for words in trainings[1:]:  # a classifier without distillation is chosen by its accuracy
        is_plain = chosen == "num_updates" and "--kd-lambda 0" in words
        metric = "accuracy" if is_plain else "loss" if "kd_mssm" in words else chosen
        assert (f"--best-checkpoint-metric {metric}" in words) == (metric != "loss")
        assert ("--patience 5" in words) == (metric != "num_updates")
    if task == "sentence_prediction":  # the first step, by processes of its own
        start, step, *_ = (out / "commands.sh").read_text().split("\n# Strip the teacher\n")
        script = f"{start.replace(str(out), str(tmp_path))}\n{step.split(chr(10) * 2)[0]}"
        subprocess.run(["bash", "-c", script], check=True, env=environment())
        stripped = (toy.checkpoint(x / "teacher.pt")["model"] for x in (out, tmp_path))
        check_equal_tensors(*stripped)
    plan = json.loads((out / "plan.json").read_text())
    script = (out / "commands.sh").read_text()
    for lanes in plan["stages"]:
        for lane in lanes:
            for step in lane:
                assert f"# {step['title']}\n{step['command'][0]} " in script
                words = " ".join(step["command"])
                is_first = "--lr 0.003 " in words and words.endswith("--weight-decay 0.003")
                assert is_first == (step["name"] == "pretraining")


def test_hydra_trains_the_same_models_and_sweeps(distilled, tmp_path):
    """From OUT/hydra, bit for bit; in a sweep, every job has a best checkpoint of its own."""
    task, _, out = distilled
    names = {path.stem for path in (out / "hydra").iterdir()}
    assert names - {"pretraining"} == {"training", "baseline_training"}
    assert ("pretraining" in names) == (task == "translation")
    words = ("--config-dir", out / "hydra", "--config-name")
    folders = {name: tmp_path / name for name in names - {"baseline_training"}}
    if task == "language_modeling":
        sweep = ("-m", "criterion.kd_lambda=0,1", f"hydra.sweep.dir={tmp_path}")
        hydra_runs.run(*words, "training", *sweep)
        folders["training"] = tmp_path / "criterion.kd_lambda=1"
        assert (tmp_path / "criterion.kd_lambda=0" / "checkpoint_best.pt").exists()
    else:
        for name, folder in folders.items():
            hydra_runs.run(*words, name, f"hydra.run.dir={folder}")
    for name, folder in folders.items():
        for kind in ("best", "last"):
            expected, model = (
                toy.checkpoint(x / f"checkpoint_{kind}.pt")["model"] for x in (out / name, folder)
            )
            assert model.keys() == expected.keys()
            assert all(torch.equal(model[key], expected[key]) for key in expected), (name, kind)
