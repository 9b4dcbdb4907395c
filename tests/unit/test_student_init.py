"""`lightpaff init-student`: the teacher's function, its layers, and what narrowing keeps of it."""

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from fairseq import checkpoint_utils, tasks

import toy
from lightpaff_fairseq.cli.main import main

BLOCKS = ("--sample-break-mode", "eos", "--tokens-per-sample", 32)
MASS = (*BLOCKS, "--task", "masked_seq2seq", "--max-source-positions", 40)
MASS += ("--max-target-positions", 40)
PAIRS = ("--task", "translation", "--max-source-positions", 40, "--max-target-positions", 40)
CLASSES = ("--task", "sentence_prediction", "--num-classes", 3, "--init-token", 0)
LEARNED = ("--encoder-learned-pos", "--decoder-learned-pos")
PRE_NORM = ("--encoder-normalize-before", "--decoder-normalize-before")


@dataclass(frozen=True)
class Family:
    """Data, task and model flags (but for sizes) of a teacher, and the student's --arch."""

    write: object
    task: tuple
    arch: tuple
    sides: tuple = ("encoder", "decoder")
    student: str = ""
    head: str = ""

    def sizes(self, layers=4, width=16, heads=4, ffn=24):
        values = {"layers": layers, "embed-dim": width, "attention-heads": heads}
        values["ffn-embed-dim"] = ffn
        return [x for side in self.sides for k, v in values.items() for x in (f"--{side}-{k}", v)]


BOTH = ("encoder", "decoder")
FAMILIES = {
    "mass": Family(toy.write_monolingual, MASS, ("--arch", "mass_tiny"), BOTH),
    "mass, stock student": Family(
        toy.write_monolingual, MASS, ("--arch", "mass_student"), BOTH, "transformer_mass_student"
    ),
    "transformer": Family(toy.write_parallel, PAIRS, ("--arch", "transformer", *LEARNED)),
    "transformer, pre-norm": Family(
        toy.write_parallel,
        PAIRS,
        ("--arch", "transformer", *LEARNED, *PRE_NORM, "--share-decoder-input-output-embed"),
    ),
    "roberta": Family(
        toy.write_monolingual,
        (*BLOCKS, "--task", "masked_lm", "--mask-prob", 0.3),
        ("--arch", "roberta", "--max-positions", 40),
        ("encoder",),
    ),
    "roberta, pre-norm": Family(
        toy.write_monolingual,
        (*BLOCKS, "--task", "masked_lm"),
        ("--arch", "roberta_prenorm", "--max-positions", 40, "--untie-weights-roberta"),
        ("encoder",),
    ),
    "roberta, classes": Family(
        toy.write_labelled,
        (*CLASSES, "--max-positions", 40),
        ("--arch", "roberta"),
        ("encoder",),
        head="sentence_classification_head",
    ),
    "transformer_lm": Family(
        toy.write_monolingual,
        (*BLOCKS, "--task", "language_modeling"),
        ("--arch", "transformer_lm", "--decoder-learned-pos"),
        ("decoder",),
    ),
    "transformer_lm, gpt2": Family(
        toy.write_monolingual,
        (*BLOCKS, "--task", "language_modeling"),
        ("--arch", "transformer_lm_gpt2_micro"),
        ("decoder",),
    ),
    "transformer_lm, tied": Family(
        toy.write_monolingual,
        (*BLOCKS, "--task", "language_modeling"),
        ("--arch", "transformer_lm", "--decoder-learned-pos", "--decoder-normalize-before")
        + ("--share-decoder-input-output-embed",),
        ("decoder",),
    ),
}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """(family's name, sizes) -> (path, model, task), all values random."""

    @cache
    def make(name, sizes=()):
        family, folder = FAMILIES[name], tmp_path_factory.mktemp("teacher")
        data = family.write(folder / "data", count=20)
        argv = (data, *family.task, *family.arch, *family.sizes(**dict(sizes)))
        criterion = "sentence_prediction" if family.head else "cross_entropy"
        criterion = "masked_lm" if "masked_lm" in family.task else criterion
        cfg = toy.parse(*argv, "--criterion", criterion, "--max-tokens", 500)
        task = tasks.setup_task(cfg.task)
        torch.manual_seed(5)
        model = task.build_model(cfg.model).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
        task.load_dataset("train")
        return toy.save_model(folder / "t.pt", cfg, model), model, task, cfg

    return make


def run(name, teacher, out, *flags, **sizes):
    family = FAMILIES[name]
    arch = ("--arch", family.student, *family.arch[2:]) if family.student else family.arch
    argv = ["init-student", "--teacher", teacher, "--out", out, *arch, *family.sizes(**sizes)]
    return main([str(x) for x in (*argv, *flags)])


def load(path):
    (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(path)])
    return model.eval()


@torch.no_grad()
def outputs(name, model, task):
    """What a model predicts for a batch: logits of every position, and of every class."""
    net_input = dict(toy.batch(task, range(9))["net_input"])
    if "positions" in net_input:  # the stock student has no such argument
        net_input.pop("positions")
    found = [model(**net_input)[0]]
    if FAMILIES[name].head:
        head = {"features_only": True, "classification_head_name": FAMILIES[name].head}
        found.append(model(**net_input, **head)[0])
    return found


def assert_same_function(name, a, b, task, tolerance):
    for x, y in zip(outputs(name, a, task), outputs(name, b, task), strict=True):
        assert x.shape == y.shape and y.std() > 0.01
        assert (x - y).abs().max() <= tolerance * y.abs().max()


@pytest.mark.parametrize("name", FAMILIES)
def test_equal_sizes_give_the_teachers_function(name, teachers, tmp_path, capsys):
    path, teacher, task, _ = teachers(name)
    out = tmp_path / "student.pt"
    assert run(name, path, out) == 0, capsys.readouterr().err
    assert_same_function(name, load(out), teacher, task, 1e-6)
    want = toy.checkpoint(path)["model"]
    found = toy.checkpoint(out)["model"]
    assert found.keys() == want.keys() and all(torch.equal(found[k], want[k]) for k in want)
    assert [file.name for file in tmp_path.iterdir()] == ["student.pt"]


@pytest.mark.parametrize("name", ["mass, stock student", "roberta, classes", "transformer_lm"])
@pytest.mark.parametrize(
    ("layers", "chosen"), [("uniform", (1, 3)), ("first", (0, 1)), ("last", (2, 3)), ("1,4", (0, 3))]
)
def test_fewer_layers_are_the_teachers_bit_by_bit(name, layers, chosen, teachers, tmp_path):
    path, teacher, _, _ = teachers(name)
    out = tmp_path / "student.pt"
    assert run(name, path, out, "--layers", layers, layers=2) == 0
    found, want = toy.checkpoint(out)["model"], teacher.state_dict()
    seen = set()
    for key, value in found.items():
        before, _, after = key.partition(".layers.")
        if after:
            number, rest = after.split(".", 1)
            seen.add(int(number))
            key = f"{before}.layers.{chosen[int(number)]}.{rest}"
        assert torch.equal(value, want[key]), key
    assert seen == {0, 1}
    assert {k for k in want if ".layers." not in k} == {k for k in found if ".layers." not in k}


def test_the_decoder_may_take_other_layers(teachers, tmp_path):
    path, teacher, _, _ = teachers("transformer")
    out = tmp_path / "student.pt"
    flags = ("--layers", "first", "--decoder-layers-map", "2,4")
    assert run("transformer", path, out, *flags, layers=2) == 0
    found, want = toy.checkpoint(out)["model"], teacher.state_dict()
    for side, pairs in (("encoder", {0: 0, 1: 1}), ("decoder", {0: 1, 1: 3})):
        for ours, theirs in pairs.items():
            key = f"{side}.layers.%d.fc1.weight"
            assert torch.equal(found[key % ours], want[key % theirs])
