"""BERT and GPT-2 presets in fairseq: trained, fine-tuned, stripped, used without the plug-in."""

import copy
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from fairseq import models, tasks
from omegaconf import OmegaConf

import toy
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.models import bert_presets as bert
from lightpaff_fairseq.models import gpt2_presets as gpt2
from vocabularies import task_with_vocabulary

BERT_ARCHS = [f"roberta_{name}" for name in bert.PRESETS]
GPT2_ARCHS = [f"transformer_lm_gpt2_{name}" for name in gpt2.PRESETS]
STOCK = {**dict.fromkeys(BERT_ARCHS, "roberta"), **dict.fromkeys(GPT2_ARCHS, "transformer_lm")}
RUN = ("--max-tokens", 500, "--max-update", 1, "--lr-scheduler", "fixed")
BLOCKS = ("--sample-break-mode", "eos", "--tokens-per-sample", 32)
SMALLEST = ["roberta_tiny", "transformer_lm_gpt2_micro"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy.write_monolingual(tmp_path_factory.mktemp("mono"))


def first_stage(data, arch, *flags):
    """fairseq-train's arguments for toy data."""
    kind = ("masked_lm", "masked_lm")
    if STOCK[arch] == "transformer_lm":
        kind = ("language_modeling", "cross_entropy")
    return (data, "--task", kind[0], *BLOCKS, "--arch", arch, "--criterion", kind[1], *flags)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A checkpoint of one update for each of the smallest presets."""
    folder = tmp_path_factory.mktemp("trained")
    for arch in SMALLEST:
        toy.train(*first_stage(data, arch, *RUN, "--lr", 0.01, "--save-dir", folder / arch))
    return {arch: folder / arch / "checkpoint_last.pt" for arch in SMALLEST}


@pytest.fixture(scope="module")
def stripped(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stripped")
    for arch, path in trained.items():
        assert main(["strip", "--path", str(path), "--out", str(folder / f"{arch}.pt")]) == 0
    return {arch: folder / f"{arch}.pt" for arch in SMALLEST}


@pytest.mark.slow
@pytest.mark.parametrize("arch", STOCK)
def test_a_checkpoint_records_the_stock_model_with_all_values(data, monkeypatch, arch):
    """Without this plug-in's architectures in the registry the recorded values build it."""
    cfg = toy.parse(*first_stage(data, arch))
    assert cfg.model._name == STOCK[arch] and arch not in str(cfg)
    preset = (bert if arch in BERT_ARCHS else gpt2).PRESETS[re.split("_", arch)[-1]]
    for name in STOCK:
        monkeypatch.delitem(models.ARCH_MODEL_REGISTRY, name)
        monkeypatch.delitem(models.ARCH_CONFIG_REGISTRY, name)
    monkeypatch.setattr("fairseq.models.roberta.model.init_bert_params", lambda module: None)
    with torch.device("meta"):
        model = models.build_model(copy.deepcopy(cfg.model), tasks.setup_task(cfg.task))
    stack = model.encoder.sentence_encoder if arch in BERT_ARCHS else model.decoder
    layer = stack.layers[0]
    assert (len(stack.layers), layer.embed_dim, layer.fc1.out_features) == (
        preset.layers,
        preset.width,
        preset.ffn,
    )
    assert layer.dropout_module.p == layer.self_attn.dropout_module.p == 0.1
    assert layer.activation_fn(torch.tensor(-1.0)) == torch.nn.functional.gelu(torch.tensor(-1.0))


@pytest.mark.slow
@pytest.mark.parametrize("arch", SMALLEST)
def test_positions_do_not_follow_the_length_of_samples(trained, arch):
    state = toy.checkpoint(trained[arch])
    table = next(v for k, v in state["model"].items() if k.endswith("embed_positions.weight"))
    assert len(table) == 2 + (512 if arch in BERT_ARCHS else 1024)


@pytest.mark.parametrize(
    "arch,flag,stack",
    [
        ("roberta_tiny", "--max-positions", "encoder.sentence_encoder"),
        ("transformer_lm_gpt2_micro", "--max-target-positions", "decoder"),
    ],
)
def test_flags_override_a_preset(data, arch, flag, stack):
    side = stack.split(".")[0]
    sizes = (f"--{side}-layers", 1, f"--{side}-embed-dim", 24, flag, 40, "--dropout", 0.3)
    task, model, _ = toy.build(*first_stage(data, arch, *sizes))
    layers = model.get_submodule(stack).layers
    assert len(layers) == 1 and layers[0].embed_dim == 24 and layers[0].dropout_module.p == 0.3
    assert model.max_positions() == 40
    logits = model(**toy.batch(task, range(3))["net_input"])[0]
    assert logits.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("arch", SMALLEST)
def test_hydra_configuration_builds_the_same_model(trained, arch):
    cfg = OmegaConf.create({"_name": arch, "dropout": 0.3})
    OmegaConf.set_struct(cfg, True)
    model = models.build_model(cfg, task_with_vocabulary(31))
    assert cfg._name == cfg.arch == STOCK[arch]
    expected = toy.checkpoint(trained[arch])["model"]
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in expected.items()
    }


def same_tensors(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_a_language_model_is_fine_tuned(data, stripped, tmp_path):
    """With lr 0 the second stage ends where it started: all weights were taken over."""
    arch = "transformer_lm_gpt2_micro"
    flags = (*RUN, "--lr", 0, "--finetune-from-model", stripped[arch], "--save-dir", tmp_path)
    toy.train(*first_stage(data, arch, *flags))
    after = toy.checkpoint(tmp_path / "checkpoint_last.pt")
    assert same_tensors(after["model"], toy.checkpoint(stripped[arch])["model"])


@pytest.fixture(scope="module")
def classifier(stripped, tmp_path_factory):
    """(data, checkpoint) of the second stage of BERT, with lr 0."""
    folder = tmp_path_factory.mktemp("classifier")
    labeled = toy.write_labeled(folder / "data")
    kind = ("--task", "sentence_prediction", "--num-classes", 3, "--init-token", 0)
    kind += ("--arch", "roberta_tiny", "--criterion", "sentence_prediction", "--lr", 0)
    source = ("--finetune-from-model", stripped["roberta_tiny"], "--save-dir", folder)
    toy.train(labeled, *kind, *RUN, *source)
    return labeled, folder / "checkpoint_last.pt"


def test_an_encoder_becomes_a_classifier(stripped, classifier):
    before = toy.checkpoint(stripped["roberta_tiny"])["model"]
    after = toy.checkpoint(classifier[1])["model"]
    new = {name for name in after if name.startswith("classification_heads.")}
    assert len(new) == 4  # two layers, each with weight and bias
    assert same_tensors({k: v for k, v in after.items() if k not in new}, before)


def without_plugin(command, *argv):
    """Return the output of a fairseq command in a process that never imports this plug-in."""
    code = f"import sys; from fairseq_cli.{command} import cli_main; cli_main(); " + (
        "assert 'lightpaff_fairseq' not in sys.modules"
    )
    words = [sys.executable, "-c", code, *argv, "--cpu", "--required-batch-size-multiple", "1"]
    done = subprocess.run([str(x) for x in words], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(np, "compat"), reason="stock fairseq needs numpy below 2.4")
def test_stock_fairseq_evaluates_the_language_model(data, stripped):
    path = stripped["transformer_lm_gpt2_micro"]
    blocks = ("--sample-break-mode", "eos", "--gen-subset", "valid")
    printed = without_plugin("eval_lm", data, "--path", path, *blocks)
    perplexity = float(re.search(r"Perplexity: ([\d.]+)", printed)[1])
    assert 1 < perplexity < 4 * (toy.WORDS + 5)


@pytest.mark.slow
def test_stock_fairseq_validates_the_classifier(classifier, tmp_path):
    labeled, trained = classifier
    path = tmp_path / "classifier.pt"
    assert main(["strip", "--path", str(trained), "--out", str(path)]) == 0
    name = "sentence_prediction"
    flags = ("--task", name, "--criterion", name, "--valid-subset", "valid", "--max-tokens", 500)
    printed = without_plugin("validate", labeled, "--path", path, *flags)
    assert re.search(r"valid .*accuracy [\d.]+", printed)
