"""`lightpaff benchmark loss` compares equal results, once or over sizes."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from lightpaff_fairseq.benchmark import loss_benchmark
from lightpaff_fairseq.benchmark.loss_curves import Over
from lightpaff_fairseq.benchmark.loss_peers import PEERS, check_peers
from lightpaff_fairseq.benchmark.loss_sizes import LossProblem
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.losses.divergences import Divergence

PROBLEM = LossProblem(
    tokens=10,
    vocab=23,
    student_dim=4,
    teacher_dim=8,
    chunk_tokens=3,
    topk=5,
    dtype="float64",
    device="cpu",
    divergence="forward_kl",
    beta=0.5,
)


def test_floor_computes_the_products_of_all_chunks():
    inputs = loss_benchmark.make_inputs(PROBLEM)
    floor = loss_benchmark.Floor(inputs)
    floor()
    student = inputs.student
    logits = (student.hidden @ student.weight.t()).detach()
    assert torch.allclose(floor.grad_hidden, logits @ student.weight)
    assert torch.allclose(floor.grad_weight, logits.t() @ student.hidden / PROBLEM.tokens)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_fused_and_dense_are_compared(dtype):
    inputs = loss_benchmark.make_inputs(replace(PROBLEM, dtype=dtype))
    names = {f"fused {name}" for name in ("loss", "grad_hidden", "grad_weight")}
    assert set(loss_benchmark.check_agreement(inputs)) == names


def test_kernels_are_timed_beside_each_other_without_memory(tmp_path, capsys):
    path = tmp_path / "loss.json"
    peers = ["fused-torch", "cached-torch", "fused-jsd"]
    argv = command(json=path, dtype="bfloat16", repeats=1)  # selected: half precision, too
    assert main([*argv, "--no-memory", "--peers", *peers]) == 0
    report = json.loads(path.read_text())
    names = [row["name"] for row in report["rows"]]
    assert names == [*loss_benchmark.OWN, *peers]
    assert all(row["extra_mb"] is None for row in report["rows"])
    assert "fused-torch loss" in report["minus_dense"]
    assert main([*command(dtype="float64"), "--peers", "fused-triton"]) == 2
    assert "--peers fused-triton: expected " in capsys.readouterr().err


@pytest.mark.slow
def test_the_compiled_loss_is_the_fused_one():
    inputs = loss_benchmark.make_inputs(replace(PROBLEM, tokens=11, chunk_tokens=4))
    inputs = replace(inputs, settings=replace(inputs.settings, temperature=2.0))
    for result, expected in zip(
        loss_benchmark.fused_compiled(inputs), loss_benchmark.fused(inputs), strict=True
    ):
        torch.testing.assert_close(result, expected)


def test_a_wrong_loss_is_not_timed(monkeypatch):
    right = loss_benchmark.fused

    def wrong(inputs):
        value, *gradients = right(inputs)
        return [value, gradients[0] * 1.01, gradients[1]]

    monkeypatch.setattr(loss_benchmark, "fused", wrong)
    with pytest.raises(ValueError, match="disagrees"):
        loss_benchmark.check_agreement(loss_benchmark.make_inputs(PROBLEM))


def command(**changes):
    sizes = {"tokens": 10, "vocab": 23, "student-dim": 4, "teacher-dim": 8, "topk": 3, "repeats": 2}
    return ["benchmark", "loss", *(f"--{k}={v}" for k, v in {**sizes, **changes}.items())]


def test_report(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(loss_benchmark, "peak_extra_bytes", lambda *_: 3 * 10**6)
    path = tmp_path / "loss.json"
    assert main(command(json=path)) == 0
    report = json.loads(path.read_text())
    assert [row["name"] for row in report["rows"]] == [*loss_benchmark.OWN]
    assert all(len(row["all_seconds"]) == 2 and row["extra_mb"] == 3 for row in report["rows"])
    assert report["rows"][0]["ratio_to_floor"] == 1
    assert report["vocab"] == 23 and report["threads"] == torch.get_num_threads()
    printed = capsys.readouterr().out
    assert all(f"\n{name} " in printed for name in ("floor", "fused", "cached", "dense"))
    assert [p.name for p in tmp_path.iterdir()] == ["loss.json"]


@pytest.mark.parametrize("flag", ["tokens", "vocab", "teacher-dim", "threads", "repeats"])
def test_sizes_below_one_are_refused(flag, capsys):
    assert main(command(**{flag: 0})) == 2
    assert f"--{flag} 0: expected 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags,words",
    [
        ({"topk": 23}, "--topk 23: expected less than --vocab 23"),
        ({"divergence": "l2"}, "--divergence l2: expected one of forward_kl"),
        ({"beta": 2}, "--beta 2.0: expected 0 to 1"),
    ],
)
def test_losses_that_do_not_exist(flags, words, capsys):
    assert main(command(**flags)) == 2
    assert words in capsys.readouterr().err


def test_missing_peers_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "textbrewer.losses", None)
    with pytest.raises(ValueError) as caught:
        check_peers(["textbrewer", "torchtune"], Divergence("tvd"))
    message = str(caught.value)
    assert "--peers textbrewer: needs the package textbrewer" in message
    assert "--peers torchtune: does not support tvd" in message


@pytest.mark.parametrize("peer", PEERS)
def test_installed_peers_compute_the_same_loss(peer):
    try:
        check_peers([peer], Divergence())
    except ValueError as error:
        pytest.skip(str(error))
    if peer == "liger-compiled":
        pytest.skip("compiling takes a minute; the eager one is the same code")
    inputs = loss_benchmark.make_inputs(replace(PROBLEM, dtype="float32", tokens=12))
    assert f"{peer} grad_hidden" in loss_benchmark.check_agreement(inputs, [peer])


def test_all_bad_sizes_are_listed(capsys, tmp_path):
    assert main(command(tokens=0, vocab=-1)) == 2
    error = capsys.readouterr().err
    assert "--tokens" in error and "--vocab" in error
    assert main(command(json=tmp_path / "no" / "x.json")) == 2
    assert "--json" in capsys.readouterr().err


def test_curves_measure_every_value_and_are_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        loss_benchmark, "peak_extra_bytes", lambda *_: 3 * 10**6
    )  # a process a variant
    sizes = "--tokens 12 --vocab 40 --student-dim 4 --teacher-dim 8 --topk 5 --chunk-tokens 4"
    over = "--over vocab 20 40 --over width 4 6"
    files = f"--json {tmp_path / 'c.json'} --plot {tmp_path / 'c.svg'} --repeats 1"
    assert main(["benchmark", "loss", *f"{sizes} {over} {files}".split()]) == 0
    curves = json.loads((tmp_path / "c.json").read_text())["curves"]
    assert {axis: [p["value"] for p in points] for axis, points in curves.items()} == {
        "vocab": [20, 40],
        "width": [4, 6],
    }
    names = {row["name"] for points in curves.values() for p in points for row in p["rows"]}
    assert names == set(loss_benchmark.OWN)
    svg = (tmp_path / "c.svg").read_text()
    assert svg.count("times the floor") == 2 and ">vocab<" in svg and ">width<" in svg
    assert "vocab" in capsys.readouterr().out and not list(tmp_path.glob("*.tmp"))


def test_a_width_keeps_the_teachers_proportion():
    wider = Over("width", (4, 12)).problem(PROBLEM, 12)
    assert (wider.student_dim, wider.teacher_dim, wider.vocab) == (12, 24, PROBLEM.vocab)
    assert Over("chunk-tokens", (1, 2)).problem(PROBLEM, 2).chunk_tokens == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--over depth 1 2", "--over depth: expected one of tokens, vocab"),
        ("--over vocab 8", "--over vocab: expected two or more positive numbers, got 8"),
        ("--over vocab 8 many", "got 8 many"),
        ("--plot curves.svg", "--plot curves.svg: expected --over"),
        ("--over vocab 8 9 --plot curves.txt", "a name that ends in .svg or .png"),
        ("--over vocab 8 9 --plot none/curves.svg", "none does not exist"),
    ],
)
def test_curves_that_cannot_be(words, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", "loss", *words.split()]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
