"""`lightpaff strip`: what the stripped checkpoint is good for, and what is refused."""

import enum
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import fairseq.criterions as criterions
import fairseq.models as models
import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils
from omegaconf import OmegaConf

import toy
from lightpaff_fairseq.checkpoints import state_dict
from lightpaff_fairseq.checkpoints.strip import (
    plugin_parts,
    stock_architecture,
    stock_criterion,
    to_primitive,
)
from lightpaff_fairseq.cli.main import main

SENTENCES = 37
ARCH = ["--arch", "transformer", "--share-all-embeddings"]
for side in ("encoder", "decoder"):
    ARCH += [f"--{side}-layers", "1", f"--{side}-embed-dim", "16", f"--{side}-ffn-embed-dim", "16"]
    ARCH += [f"--{side}-attention-heads", "2"]
RUN = [*ARCH, "--task", "translation", "--max-tokens", "200", "--lr-scheduler", "fixed"]
KEPT = ["--kd-lambda", "0.5", "--kd-temperature", "2"]


def update(data, folder, *argv):
    """One update of kd_ss; the checkpoint it leaves."""
    flags = ["--criterion", "kd_ss", "--max-update", "1", "--save-dir", folder, *argv]
    toy.train(data, *RUN, *flags)
    return folder / "checkpoint_last.pt"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy.write_parallel(tmp_path_factory.mktemp("data"), SENTENCES)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return update(data, folder, "--lr", "0.01", "--kd-lambda", "0", "--seed", "5")


@pytest.fixture(scope="module")
def stripped(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("stripped") / "student.pt"
    assert main(["strip", "--path", str(trained), "--out", str(out)]) == 0
    return out


def same_tensors(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_keeps_the_model_and_drops_the_optimizer(trained, stripped):
    before, after = toy.checkpoint(trained), toy.checkpoint(stripped)
    assert "last_optimizer_state" in before and "last_optimizer_state" not in after
    assert same_tensors(before["model"], after["model"])
    weights = sum(x.numel() * x.element_size() for x in after["model"].values())
    assert trained.stat().st_size - stripped.stat().st_size > 1.5 * weights  # Adam: two a weight
    assert [path.name for path in stripped.parent.iterdir()] == ["student.pt"]


def test_is_plain_and_without_traces_of_the_plugin(stripped):
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        assert torch.serialization.get_unsafe_globals_in_checkpoint(str(stripped)) == []
    finally:
        torch.serialization.add_safe_globals(allowed)
    cfg = toy.checkpoint(stripped)["cfg"]
    assert plugin_parts(cfg) == []
    assert all(word not in str(cfg) for word in ("kd_", "lightpaff", "Namespace"))


@pytest.mark.slow
def test_stock_fairseq_generates_without_the_plugin(data, stripped):
    code = "import sys; from fairseq_cli.generate import cli_main; cli_main(); " + (
        "assert 'lightpaff_fairseq' not in sys.modules"
    )
    flags = ["--path", stripped, "--beam", "1", "--cpu", "--required-batch-size-multiple", "1"]
    command = [sys.executable, "-c", code, data, "-s", "sv", "-t", "en", *flags]
    done = subprocess.run([str(x) for x in command], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr[-2000:]
    assert sum(line.startswith("H-") for line in done.stdout.splitlines()) == SENTENCES


def test_validates_with_the_stock_criterion(stripped):
    _, cfg, task = checkpoint_utils.load_model_ensemble_and_task([str(stripped)])
    criterion = task.build_criterion(cfg.criterion)
    assert type(criterion) is criterions.CRITERION_REGISTRY["label_smoothed_cross_entropy"]


def test_can_be_fine_tuned(data, stripped, tmp_path):
    flags = ["--lr", "0", "--kd-lambda", "0", "--finetune-from-model", stripped]
    after = toy.checkpoint(update(data, tmp_path, *flags))
    assert after["optimizer_history"][-1]["num_updates"] == 1
    assert same_tensors(after["model"], toy.checkpoint(stripped)["model"])


@pytest.mark.slow
def test_can_teach(data, stripped, trained, tmp_path):
    runs = [
        toy.checkpoint(update(data, tmp_path / t.stem, "--lr", "1", *KEPT, "--kd-teacher", t))
        for t in (stripped, trained)
    ]
    assert same_tensors(runs[0]["model"], runs[1]["model"])


def test_a_stripped_checkpoint_can_be_stripped_again(stripped, tmp_path):
    out = tmp_path / "again.pt"
    assert main(["strip", "--path", str(stripped), "--out", str(out)]) == 0
    assert toy.checkpoint(out)["cfg"] == toy.checkpoint(stripped)["cfg"]


def unusable(kind, trained, folder):
    """Write a --path that cannot be used."""
    path = folder / f"{kind}.pt"
    content = trained.read_bytes()
    if kind == "text":
        path.write_text("not a checkpoint\n")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes(x ^ 255 for x in content[middle:]))
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "state_dict":
        torch.save(toy.checkpoint(trained)["model"], path)
    elif kind == "no_config":
        torch.save({**toy.checkpoint(trained), "cfg": None}, path)
    elif kind == "folder":
        path.mkdir()
    return path


KINDS = "missing text empty cut flipped tensor state_dict no_config folder".split()


@pytest.mark.parametrize("kind", KINDS)
def test_refuses_what_is_no_checkpoint(kind, trained, tmp_path, capsys):
    path = unusable(kind, trained, tmp_path)
    present = sorted(tmp_path.iterdir())
    assert main(["strip", "--path", str(path), "--out", str(tmp_path / "out.pt")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    damaged = kind in ("empty", "cut", "flipped")
    words = ": corrupt: " if damaged else "expected a fairseq checkpoint"
    assert f"--path {path}" in error and words in error
    assert sorted(tmp_path.iterdir()) == present


def test_refuses_to_overwrite(trained, tmp_path, capsys):
    out = tmp_path / "student.pt"
    out.write_text("precious")
    assert main(["strip", "--path", str(trained), "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err and out.read_text() == "precious"
    assert main(["strip", "--path", str(trained), "--out", str(out), "--force"]) == 0
    assert toy.checkpoint(out)["extra_state"]["train_iterator"]["epoch"] == 1


@pytest.mark.parametrize("flags", [[], ["--force"]])
def test_refuses_its_own_source(trained, tmp_path, flags, capsys):
    path, link = tmp_path / "a.pt", tmp_path / "b.pt"
    path.write_bytes(trained.read_bytes())
    link.symlink_to(path)
    assert main(["strip", "--path", str(path), "--out", str(link), *flags]) == 2
    assert "--out" in capsys.readouterr().err
    assert "last_optimizer_state" in toy.checkpoint(path)


@pytest.mark.parametrize(("out", "words"), [("no/x.pt", "does not exist"), (".", "a folder")])
def test_refuses_a_place_that_cannot_be_written(trained, tmp_path, out, words, capsys):
    assert main(["strip", "--path", str(trained), "--out", str(tmp_path / out)]) == 2
    assert words in capsys.readouterr().err


def test_a_failed_verification_leaves_nothing_behind(trained, tmp_path, monkeypatch):
    out = tmp_path / "student.pt"
    out.write_text("precious")
    allowed = torch.serialization.get_safe_globals()
    assert allowed
    monkeypatch.setattr(state_dict, "_same_bits", lambda a, b: False)
    assert main(["strip", "--path", str(trained), "--out", str(out), "--force"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["student.pt"]
    assert out.read_text() == "precious"
    assert set(torch.serialization.get_safe_globals()) == set(allowed)


def test_every_criterion_of_the_plugin_has_a_stock_parent():
    ours = [
        name
        for name, kind in criterions.CRITERION_REGISTRY.items()
        if kind.__module__.startswith("lightpaff_fairseq.")
    ]
    assert {"kd_mssm", "kd_ss"} <= set(ours)
    for name in ours:
        kind = criterions.CRITERION_REGISTRY[name]
        parent = criterions.CRITERION_REGISTRY[stock_criterion(name)]
        assert parent.__module__.startswith("fairseq.") and issubclass(kind, parent)
    for name in set(criterions.CRITERION_REGISTRY) - set(ours):
        assert stock_criterion(name) == name
    assert stock_criterion(None) is None and stock_criterion("unheard of") == "unheard of"


def test_architectures_of_stock_models_become_the_model():
    archs = [name for name in models.ARCH_MODEL_REGISTRY if name.startswith("transformer_mass_")]
    assert len(archs) >= 5
    assert {stock_architecture(name) for name in archs} == {"transformer"}
    for name in ("transformer", "transformer_iwslt_de_en", "mass_tiny", "unheard of"):
        assert stock_architecture(name) == name


def test_plugin_parts_names_what_stock_fairseq_lacks():
    cfg = {"model": {"_name": "mass_tiny"}, "task": {"_name": "masked_seq2seq"}}
    assert plugin_parts(cfg) == ["model mass_tiny", "task masked_seq2seq"]


class Color(enum.Enum):
    red = 1


def test_plain_values():
    nested = Namespace(
        a=np.float64(0.5), b=(1, Path("x")), c=Color.red, d=OmegaConf.create({"e": [None, True]})
    )
    expected = {"a": 0.5, "b": [1, "x"], "c": "red", "d": {"e": [None, True]}}
    found = to_primitive({"top": nested}, "cfg")
    assert found == {"top": expected} and type(found["top"]["a"]) is float
    with pytest.raises(
        ValueError, match=r"cfg\.top\.b\[1\]: expected a primitive value, got an instance of object"
    ):
        to_primitive({"top": Namespace(b=[0, object()])}, "cfg")


def test_half_precision_takes_half_the_room_and_tied_tables_stay_tied(stripped, tmp_path):
    half, again = tmp_path / "half.pt", tmp_path / "again.pt"
    assert main(["strip", "--path", str(stripped), "--out", str(half), "--dtype", "float16"]) == 0
    assert main(["strip", "--path", str(half), "--out", str(again), "--dtype", "float32"]) == 0
    full, small, restored = (toy.checkpoint(path)["model"] for path in (stripped, half, again))
    assert half.stat().st_size < 0.8 * stripped.stat().st_size  # the configuration stays
    tied = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    for state, dtype in ((small, torch.float16), (restored, torch.float32)):
        assert state[tied[0]].data_ptr() == state[tied[1]].data_ptr()
        for name, tensor in state.items():
            if tensor.is_floating_point():
                assert tensor.dtype == dtype, name
                torch.testing.assert_close(tensor.float(), full[name], rtol=1e-3, atol=1e-4)


def test_a_weight_that_half_precision_cannot_hold_is_refused(stripped, tmp_path, capsys):
    state = toy.checkpoint(stripped)
    state["model"]["encoder.layers.0.fc1.bias"][0] = 1e6
    torch.save(state, tmp_path / "large.pt")
    flags = ["--path", str(tmp_path / "large.pt"), "--out", str(tmp_path / "half.pt")]
    assert main(["strip", *flags, "--dtype", "float16"]) == 2
    assert "encoder.layers.0.fc1.bias has a weight of 1e+06" in capsys.readouterr().err
    assert not (tmp_path / "half.pt").exists()
