"""`lightpaff benchmark step` times complete, correct updates on models of its flags."""

import copy
import dataclasses
import json
import shlex

import pytest
import torch
from fairseq import tasks
from fairseq.data import Dictionary, data_utils
from torch._subclasses.fake_tensor import FakeTensorMode

import toy
from lightpaff_fairseq.benchmark import cache_benchmark, step_benchmark, step_memory
from lightpaff_fairseq.benchmark.step_models import FAMILIES
from lightpaff_fairseq.benchmark.step_pruning import pruned_ratio
from lightpaff_fairseq.benchmark.step_sizes import StepProblem
from lightpaff_fairseq.benchmark.synthetic_data import write_corpus
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.losses.label_positions import LabelPositions

STUDENT = {
    "mass": "--arch mass_tiny",
    "bert": "--arch roberta_tiny",
    "gpt2": "--arch transformer_lm_gpt2_micro",
}
TEACHER = {**STUDENT, "bert": "--arch roberta_tiny --encoder-layers 3"}


def problem(family):
    models = {"student": STUDENT[family], "teacher": TEACHER[family]}
    sizes = {"vocab": 40, "sentences": 3, "length": 9, "chunk_tokens": 8, "topk": 5}
    return StepProblem(family=family, device="cpu", **models, **sizes)


def test_synthetic_text(tmp_path):
    write_corpus(tmp_path, vocab=40, sentences=5, length=9)
    dictionary = Dictionary.load(str(tmp_path / "dict.txt"))
    assert len(dictionary) == 40 and dictionary.index("<mask>") == 39
    text = data_utils.load_indexed_dataset(str(tmp_path / "train"), dictionary, "mmap")
    assert [len(s) for s in text] == [9] * 5
    words = torch.stack([s[:-1] for s in text])
    assert words.min() >= dictionary.nspecial and words.max() < 39
    assert all(s[-1] == dictionary.eos() for s in text)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_timed(family, tmp_path):
    """Each variant does all of its work, both students do the same but for the teacher."""
    bench = step_benchmark.Bench(problem(family), tmp_path)
    students = [bench.plain.model.state_dict(), bench.kd.model.state_dict()]
    before = copy.deepcopy(students)
    assert all(torch.equal(before[0][name], before[1][name]) for name in before[0])
    target = bench.sample["target"]
    positions = bench.positions
    teacher = copy.deepcopy(bench.teacher.state_dict())
    expected = len(target[positions]) if family == "bert" else target.numel()
    logits = bench.teacher_logits()
    assert logits.shape[-1] == 40 and logits.numel() == expected * 40 and not logits.requires_grad
    plain, kd = bench.update(bench.plain), bench.update(bench.kd)
    assert "kd_loss" in kd and "kd_loss" not in plain
    for state, old in zip(students, before, strict=True):
        moved = sum(not torch.equal(state[name], old[name]) for name in old)
        assert moved > 0.8 * len(old)
    assert bench.plain.get_num_updates() == bench.kd.get_num_updates() == 1
    assert all(
        torch.equal(value, teacher[name]) for name, value in bench.teacher.state_dict().items()
    )
    assert all(
        torch.equal(value, teacher[name])
        for name, value in bench.kd.criterion.distiller.teacher.model.state_dict().items()
    )
    assert bench.teacher.training is False


@pytest.mark.slow
def test_pruning_is_timed_in_mid_schedule(tmp_path):
    students = {"student": "--arch roberta_tiny --encoder-embed-dim 32 --encoder-ffn-embed-dim 64"}
    bench = step_benchmark.Bench(
        dataclasses.replace(problem("bert"), prune=0.5, **students), tmp_path
    )
    assert list(bench.variants()) == ["plain", "teacher", "kd", "cached", "masked", "choosing"]
    pruner = bench.pruned.task.pruner
    variants = bench.variants()
    kept = pruner.masks.kept["encoder.hidden"]
    assert 16 < kept.sum() < 20 and not pruner.is_finished
    means = pruner.importance.mean["encoder.hidden"].clone()
    log = variants["masked"]()
    assert "kd_loss" in log and torch.equal(pruner.importance.mean["encoder.hidden"], means)
    variants["choosing"]()
    assert not torch.equal(pruner.importance.mean["encoder.hidden"], means)
    times = {"kd": [1.0, 2.0], "masked": [1.0, 2.2], "choosing": [2.0, 2.2]}
    assert pruned_ratio(times, "kd") == pytest.approx(1.1)


def test_a_ratio_out_of_range_is_refused():
    with pytest.raises(ValueError, match="--prune 1.5: expected a ratio"):
        dataclasses.replace(problem("bert"), prune=1.5).problems().raise_if_any()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_timed_of_a_cache(family, tmp_path):
    bench = step_benchmark.Bench(problem(family), tmp_path)
    # fewer outcomes tell less: between nothing and all of the online loss
    assert 0 < bench.update(bench.cached)["kd_loss"] < bench.update(bench.kd)["kd_loss"]
    timed = cache_benchmark.variants(bench)
    positions = int(bench.positions.sum())
    assert timed["build"]() == positions
    soft = timed["read"]()
    assert soft.ids.shape == (positions, 5)
    exact = bench.kd.criterion.distiller.teacher.soft_targets(
        bench.kd.model, bench.sample, LabelPositions.of(bench.positions)
    ).logits()
    lprobs = exact.log_softmax(-1).gather(-1, soft.ids)
    torch.testing.assert_close(soft.lprobs[:, :-1], lprobs, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_report_of_a_cache(tmp_path, capsys):
    path = tmp_path / "cache.json"
    assert main(["benchmark", "cache", *command(json=path)[2:]]) == 0
    report = json.loads(path.read_text())
    assert set(report["all_seconds"]) == {"plain", "teacher", "build", "read"}
    assert report["bytes_a_position"] > 5 * 4 + 2
    printed = capsys.readouterr().out
    assert f"read / plain update         {report['read_to_plain']:.4f}" in printed


@pytest.mark.slow
def test_more_losses_are_timed_beside_plain_distillation(tmp_path):
    more = "--kd-hidden-weight 1 --kd-attention-weight 1 --kd-attention-loss ce_mean"
    bench = step_benchmark.Bench(dataclasses.replace(problem("bert"), more=more), tmp_path)
    assert list(bench.variants()) == ["plain", "teacher", "kd", "cached", "more"]
    log = bench.update(bench.more)
    assert log["kd_hidden"] > 0 and log["kd_attention"] > 0
    assert "kd_hidden" not in bench.update(bench.kd)


@pytest.mark.slow
def test_peak_memory_is_that_of_a_complete_first_update(monkeypatch, capsys):
    sizes = []

    def peak(make, settings, name, device):
        if name == "cached":
            assert "kd_loss" in make(settings, name, False)()
        sizes.append((name, device))
        return None if name == "teacher" else 2_000_000

    monkeypatch.setattr(step_memory, "peak_extra_bytes", peak)
    assert main([*command(), "--memory"]) == 0
    assert sizes == [(name, "cpu") for name in ("plain", "teacher", "kd", "cached")]
    printed = capsys.readouterr().out
    assert printed.count(" 2 MB ") == 3 and "MB: peak of a first update" in printed


@pytest.mark.slow
def test_ratios_belong_to_one_round(monkeypatch):
    times = {"plain": [1.0, 2.0, 1.0], "teacher": [3.0, 6.0, 1.0], "kd": [4.0, 16.0, 3.0]}
    times["cached"] = [1.5, 2.0, 1.1]
    monkeypatch.setattr(step_benchmark, "interleaved_times", lambda variants, repeats, clock: times)
    report = step_benchmark.benchmark_step(problem("gpt2"), 3)
    assert report.kd_to_parts == 1.5  # of 1, 2 and 1.5
    assert report.cached_to_plain == 1.1
    assert report.teacher_to_plain == 3 and report.seconds["kd"] == 4
    assert report.positions == 3 * 9
    assert report.parameters["student"] == report.parameters["teacher"]


def command(**changes):
    flags = {"family": "bert", "student": STUDENT["bert"], "teacher": TEACHER["bert"]}
    flags |= {"vocab": 40, "sentences": 2, "length": 6, "repeats": 2, "topk": 5, **changes}
    return ["benchmark", "step", *(f"--{k.replace('_', '-')}={v}" for k, v in flags.items())]


@pytest.mark.slow
def test_report(tmp_path, capsys):
    path = tmp_path / "step.json"
    assert main(command(json=path)) == 0
    report = json.loads(path.read_text())
    assert set(report["all_seconds"]) == {"plain", "teacher", "kd", "cached"}
    assert all(len(seconds) == 2 for seconds in report["all_seconds"].values())
    assert report["vocab"] == 40 and report["threads"] == torch.get_num_threads()
    assert report["parameters"]["teacher"] > report["parameters"]["student"] > 0
    printed = capsys.readouterr().out
    assert f"kd / (plain + teacher)  {report['kd_to_parts']:.3f}" in printed
    assert [p.name for p in tmp_path.iterdir()] == ["step.json"]


@pytest.mark.slow
def test_variants_that_are_asked_for_are_reported(tmp_path, capsys):
    path, wide = tmp_path / "step.json", "--encoder-embed-dim 32 --encoder-ffn-embed-dim 64"
    asked = {"more": "--kd-hidden-weight 1", "prune": 0.5, "repeats": 1, "json": path}
    assert main(command(student=f"{STUDENT['bert']} {wide}", **asked)) == 0
    report = json.loads(path.read_text())
    assert {"more", "masked", "choosing"} < set(report["all_seconds"])
    printed = capsys.readouterr().out
    for name in ("more", "pruned"):
        ratio = report[f"{name}_to_kd"]
        assert ratio > 0 and f"{ratio:.3f}" in printed and f"{name} / kd" in printed


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_default_teachers_are_five_to_seven_times_larger(family, tmp_path):
    toy.write_dictionary(tmp_path / "dict.txt", words=8192 - 5)
    sizes = []
    for side in ("teacher", "student"):
        words = shlex.split(getattr(FAMILIES[family], side))
        cfg = toy.parse(tmp_path, "--task", FAMILIES[family].task, *words)
        with FakeTensorMode():  # shapes without memory
            model = tasks.setup_task(cfg.task).build_model(cfg.model)
        sizes.append(sum(p.numel() for p in model.parameters()))
    assert 5 <= sizes[0] / sizes[1] <= 7


@pytest.mark.parametrize(
    "name", ["vocab", "sentences", "length", "chunk_tokens", "topk", "repeats"]
)
def test_sizes_out_of_range_are_refused(name, capsys):
    assert main(command(**{name: 0})) == 2
    flag = f"--{name.replace('_', '-')}"
    assert flag in capsys.readouterr().err


def test_all_bad_sizes_are_listed(capsys):
    assert main(command(vocab=3, length=1)) == 2
    error = capsys.readouterr().err
    assert "--vocab 3: expected 16 or more" in error and "--length" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes,words",
    [
        (
            {"length": 512},
            "--length 512: expected at most 511, the limit of the model of --teacher",
        ),
        ({"student": "--arch no_such"}, "--student: fairseq-train rejects '--arch no_such"),
        ({"teacher": "--arch roberta_tiny --no-such 1"}, "--teacher: fairseq-train rejects"),
    ],
)
def test_models_that_cannot_be_built(changes, words, capsys):
    assert main(command(**changes)) == 2
    assert words in capsys.readouterr().err
