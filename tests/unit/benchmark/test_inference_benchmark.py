"""`lightpaff benchmark inference`: what is measured, of equal answers, and what is refused."""

import json
import math
from dataclasses import replace

import pytest
import torch

import toy
from lightpaff_fairseq.benchmark import (
    inference_backends,
    inference_benchmark,
    inference_memory,
)
from lightpaff_fairseq.benchmark.inference_benchmark import benchmark_inference
from lightpaff_fairseq.benchmark.inference_settings import InferenceProblem
from lightpaff_fairseq.benchmark.synthetic_data import SPLIT
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.export.engines import Search, fairseq_engine
from lightpaff_fairseq.export.sample_batches import split_samples

pytestmark = pytest.mark.export
pytest.importorskip("ctranslate2")
pytest.importorskip("onnxruntime")

SIZES = {"layers": 1, "embed-dim": 8, "ffn-embed-dim": 8, "attention-heads": 2}


def arch(name, sides=("encoder", "decoder"), **more):
    """An architecture with tiny sizes, as --teacher-arch takes it."""
    sizes = {**SIZES, **more}
    return " ".join([name, *(f"--{side}-{k} {v}" for side in sides for k, v in sizes.items())])


TINY = ["--threads", 1, "--repeats", 2, "--latency-sentences", 2, "--sentences", 5, "--batch", 3]
RANDOM = {
    "translation": ("ctranslate2", "transformer_mass_tiny", ("encoder", "decoder")),
    "language_modeling": ("ctranslate2", "transformer_lm_gpt2_micro", ("decoder",)),
    "sentence_prediction": ("onnx", "roberta_tiny", ("encoder",)),
}


def run(*argv):
    return main([str(word) for word in ("benchmark", "inference", *argv)])


@pytest.mark.slow
@pytest.mark.parametrize("task", RANDOM)
def test_random_models(task, tmp_path, capsys):
    backend, name, sides = RANDOM[task]
    path = tmp_path / "result.json"
    argv = ["--random", "--task", task, "--vocab", 40, "--length", 6, "--json", path, *TINY]
    argv += ["--teacher-arch", arch(name, sides, layers=2), "--student-arch", arch(name, sides)]
    assert run(*argv) == 0
    report = json.loads(path.read_text())
    backends = ["fairseq", backend, f"{backend}-int8"]
    names = [f"{role} {x}" for role in ("teacher", "student") for x in backends]
    assert [row["name"] for row in report["rows"]] == names
    printed = capsys.readouterr().out
    for row in report["rows"]:
        assert f"| {row['name']} " in printed
        assert row["load_s"] > 0 and 0 < row["p50_ms"] <= row["p95_ms"]
        assert len(row["seconds"]) == 2 and "quality" not in row
        count = 5 * 6 if task == "language_modeling" else 5
        assert row["per_s"] == pytest.approx(count / (sum(row["seconds"]) / 2))
    teacher, student = report["rows"][0], report["rows"][3]
    assert teacher["params"] > student["params"]
    assert teacher["times_teacher"] == teacher["times_fairseq"] == student["times_fairseq"] == 1
    ratios = [a / b for a, b in zip(teacher["seconds"], student["seconds"])]
    assert student["times_teacher"] == pytest.approx(sum(ratios) / 2)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
@pytest.mark.parametrize("task", RANDOM)
def test_half_precision_answers_as_float32_does(task, tmp_path, monkeypatch):
    """Offered on a GPU alone, where it is fast; the CPU computes the same."""
    half = replace(inference_backends.BACKENDS["fairseq-half"], devices=("cpu",))
    monkeypatch.setitem(inference_backends.BACKENDS, "fairseq-half", half)
    lprobs = {}

    def compute(student, search, device, in_half=False):
        engine = fairseq_engine(student, search, device, in_half)
        assert next(engine.model.parameters()).dtype == (torch.half if in_half else torch.float)
        lprobs[in_half] = engine.log_probs(split_samples(student, SPLIT, 5)[0])
        return engine

    monkeypatch.setattr(inference_backends, "fairseq_engine", compute)
    _, name, sides = RANDOM[task]
    path = tmp_path / "result.json"
    argv = ["--random", "--task", task, "--vocab", 40, "--length", 6, "--json", path, *TINY]
    argv += ["--teacher-arch", arch(name, sides), "--student-arch", arch(name, sides)]
    assert run(*argv, "--backends", "fairseq-half") == 0
    assert [row["name"] for row in json.loads(path.read_text())["rows"]][
        1
    ] == "teacher fairseq-half"
    assert len(lprobs[True]) == len(lprobs[False]) > 0
    for halved, whole in zip(lprobs[True], lprobs[False]):
        torch.testing.assert_close(halved, whole, atol=0.02, rtol=0.02)


@pytest.mark.slow
def test_a_teacher_that_cannot_be_exported_is_timed_in_fairseq(tmp_path):
    _, name, sides = RANDOM["sentence_prediction"]
    path = tmp_path / "result.json"
    student = arch(name, sides)
    argv = ["--random", "--task", "sentence_prediction", "--vocab", 40, "--length", 6, *TINY]
    argv += ["--teacher-arch", student.replace(name, "bert", 1), "--student-arch", student]
    assert run(*argv, "--json", path, "--backends", "onnx") == 0
    names = {row["name"] for row in json.loads(path.read_text())["rows"]}
    assert names == {"teacher fairseq", "student fairseq", "student onnx"}


FLAGS = ("--task", "translation", "--max-source-positions", 40, "--max-target-positions", 40)


def model(path, data, layers=1):
    """An untrained translation model's checkpoint."""
    words = arch("transformer_mass_tiny", layers=layers).split()
    cfg, (_, made, _) = (f(data, *FLAGS, "--arch", *words) for f in (toy.parse, toy.build))
    return toy.save_model(path, cfg, made)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """(teacher, student, data)."""
    folder = tmp_path_factory.mktemp("pair")
    data = toy.write_parallel(folder / "data")
    return model(folder / "teacher.pt", data, 2), model(folder / "student.pt", data), data


def flags(pair, *more):
    teacher, student, data = pair
    names = ("--teacher", teacher, "--student", student, "--data", data)
    return (*names, "--gen-subset", "valid", *TINY, *more)


@pytest.mark.slow
def test_trained_models_are_scored_and_memory_is_asked_for(pair, tmp_path, monkeypatch, capsys):
    asked = []

    def peak(make, settings, name, device):
        asked.append(settings[0].name)
        make(settings, name, True)()
        make(settings, name, False)()
        return 7 * 10**6

    monkeypatch.setattr(inference_memory, "peak_extra_bytes", peak)
    path, served = tmp_path / "result.json", tmp_path / "served"
    export = ("--path", pair[1], "--data", pair[2], "--to", "ctranslate2", "--beam", 2)
    assert main([str(word) for word in ("export", *export, "--out", served)]) == 0
    more = ("--memory", "--backends", "ctranslate2-int8", "--json", path)
    assert run(*flags(pair, *more, "--peer", served)) == 0
    *rows, peer = json.loads(path.read_text())["rows"]
    assert [row["name"] for row in rows] == asked and len(asked) == 4
    student = rows[2]
    assert peer["name"] == "served, beam 2"  # CTranslate2 stores equal untrained vectors once
    assert peer["params"] == pytest.approx(student["params"], rel=0.1)
    assert peer["times_fairseq"] is peer["peak_mb"] is None and peer["measure"] == "BLEU"
    assert 0 < peer["size_mb"] < 2 * student["size_mb"] and peer["times_teacher"] > 0
    assert run(*flags(pair, "--backends", "fairseq", "--beam", 2, "--peer", served)) == 0
    printed = capsys.readouterr().out
    table = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith("| ")]
    by_name = {line[0].strip(): line[-1].strip() for line in table[-3:]}
    assert by_name["served, beam 2"] == by_name["student fairseq"]
    assert "peers run from text to text" in printed
    assert all(row["measure"] == "BLEU" and 0 <= row["quality"] <= 100 for row in rows)
    assert all(row["peak_mb"] == 7 for row in rows)
    assert " 7 MB |" in printed
    sizes = {row["name"]: row["size_mb"] for row in rows}
    assert sizes["teacher fairseq"] == pair[0].stat().st_size / 1e6


@pytest.mark.slow
def test_what_computes_something_else_is_not_timed(pair, monkeypatch, capsys):
    load = inference_backends.load_model

    def wrong(info, data):
        loaded = load(info, data)
        torch.nn.init.normal_(loaded.model.decoder.layers[0].fc1.weight)
        return loaded

    monkeypatch.setattr(inference_backends, "load_model", wrong)
    assert run(*flags(pair)) == 2
    error = capsys.readouterr().err
    assert f"--teacher {pair[0]}: the exported model disagrees with fairseq" in error


@pytest.mark.slow
def test_scores_are_those_of_one_by_one(tmp_path):
    data = toy.write_monolingual(tmp_path / "data")
    words = arch("transformer_lm_gpt2_micro", ("decoder",)).split()
    lm = (data, "--task", "language_modeling", "--sample-break-mode", "eos", "--arch", *words)
    (task, made, _), cfg = toy.build(*lm), toy.parse(*lm)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    path = toy.save_model(tmp_path / "lm.pt", cfg, made)
    task.load_dataset("valid")
    dataset, bits, count = task.dataset("valid"), 0.0, 0
    made = made.double().eval()
    for i in range(len(dataset)):
        sample = dataset.collater([dataset[i]])
        with torch.no_grad():
            lprobs = made(**sample["net_input"])[0].log_softmax(-1)
        bits -= lprobs.gather(-1, sample["target"].unsqueeze(-1)).sum().item()
        count += sample["target"].numel()
    problem = InferenceProblem(
        teacher=path, student=path, data=data, subset="valid", search=Search(),
        sentences=0, latency_sentences=1, batch=7, repeats=1,
    )  # fmt: skip
    (tmp_path / "exports").mkdir()
    rows = benchmark_inference(problem, tmp_path / "exports")
    assert [row["name"].split()[1] for row in rows[:3]] == [
        *("fairseq", "ctranslate2", "ctranslate2-int8")
    ]
    exact = math.exp(bits / count)
    assert all(row["measure"] == "ppl" for row in rows)
    assert rows[0]["quality"] == pytest.approx(exact, rel=1e-5)
    assert rows[1]["quality"] == pytest.approx(exact, rel=1e-5)
    assert rows[2]["quality"] == pytest.approx(exact, rel=0.05)
    assert rows[2]["quality"] != rows[0]["quality"]


@pytest.mark.slow
def test_bad_input_is_listed(pair, tmp_path, capsys, monkeypatch):
    (cut := tmp_path / "cut.pt").write_bytes(b"PK")
    cases = [
        (flags(pair, "--teacher", cut), [f"--teacher {cut}: expected a fairseq checkpoint"]),
        (("--random",), ["--teacher-arch: is needed with --random", "--student-arch"]),
        ((), ["--teacher: is needed without --random", "--student:", "--data:"]),
        (("--random", "--teacher-arch", "x", "--student-arch", "x", "--vocab", 3, "--length", 1),
         ["--vocab 3: expected 16 or more", "--length 1: expected 2"]),
        (("--random", "--teacher-arch", "x", "--student-arch", "x"),
         ["fairseq-train rejects '--arch x'"]),
        (flags(pair, "--batch", 0, "--beam", 0), ["--batch 0: expected 1", "--beam 0: expected 1"]),
        (flags(pair, "--latency-sentences", 0), ["--latency-sentences 0: expected 1"]),
        (flags(pair, "--repeats", 0), ["--repeats 0: expected 1"]),
        (flags(pair, "--data", tmp_path / "no"), ["no: no such folder"]),
        (flags(pair, "--teacher", tmp_path / "no.pt"), ["no.pt: no such file"]),
        (flags(pair, "--task", "language_modeling"),
         ["--task language_modeling: expected translation, the task of --student"]),
        (flags(pair, "--peer", tmp_path), [f"--peer {tmp_path}: expected a folder of CTranslate2"]),
        (("--random", "--peer", tmp_path, "--task", "language_modeling"),
         ["--peer: has no effect with --random", "--peer: expected --task translation, got lang"]),
        (flags(pair, "--backends", "onnx"), ["--backends onnx: does not support a transformer"]),
        (flags(pair, "--gen-subset", "dev"), ["no such split"]),
        (flags(pair, "--teacher-arch", "x"), ["--teacher-arch: has no effect without --random"]),
        (flags(pair, "--random", "--teacher-arch", "x", "--student-arch", "x"),
         ["--teacher: has no effect with --random; --student:", "--data: has no effect"]),
    ]  # fmt: skip
    monkeypatch.setattr(
        inference_benchmark, "write_variants", None
    )  # all this is said before any work
    for argv, words in cases:
        assert run(*argv) == 2, argv
        message = capsys.readouterr().err.strip().split("\n")[-1]
        assert all(word in message for word in words), (argv, message)


@pytest.mark.slow
def test_other_dictionaries_and_tasks(pair, tmp_path):
    from types import SimpleNamespace

    symbols = [toy.write_dictionary(tmp_path / f"{n}.txt", words=n) for n in (5, 6)]

    def made(task, dictionary):
        sides = {"source_dictionary": dictionary, "target_dictionary": dictionary}
        return SimpleNamespace(info=SimpleNamespace(task=task), task=SimpleNamespace(**sides))

    with pytest.raises(ValueError, match="source dictionaries differ"):
        inference_benchmark._check_pair(
            made("translation", symbols[0]), made("translation", symbols[1])
        )
    with pytest.raises(ValueError, match="--student: expected a model of --task translation"):
        inference_benchmark._check_pair(
            made("translation", symbols[0]), made("masked_lm", symbols[0])
        )
    inference_benchmark._check_pair(
        made("translation", symbols[0]), made("translation", symbols[0])
    )
