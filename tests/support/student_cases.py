"""Teachers of every family, and the command that makes a student of each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils, tasks

import planting
import toy
from lightpaff_fairseq.cli.main import main
from prunable_cases import BLOCKS, LEARNED, POSITIONS, PRE_NORM, TIED

BOTH = ("encoder", "decoder")
MASS = ("--task", "masked_seq2seq", *BLOCKS, *POSITIONS)
PAIRS = ("--task", "translation", *POSITIONS)
MLM = ("--task", "masked_lm", *BLOCKS, "--mask-prob", 0.3)
LM = ("--task", "language_modeling", *BLOCKS)
CLASSES = ("--task", "sentence_prediction", "--num-classes", 3, "--init-token", 0)


@dataclass(frozen=True)
class Family:
    """A teacher's data, task and model, and its student's --arch.

    Attributes:
        arch: --arch and model flags but for sizes; `heads`: of the teacher. The student has two.
        student: its --arch if it is another; `head`: its classification head.
    """

    write: Callable
    task: tuple
    arch: tuple
    sides: tuple
    heads: int = 4
    criterion: str = "cross_entropy"
    student: str = ""
    head: str = ""

    def sizes(self, layers, width, heads, ffn):
        values = {"layers": layers, "embed-dim": width, "attention-heads": heads}
        values["ffn-embed-dim"] = ffn
        if "transformer_lm" in self.arch:  # else fairseq's 512, with projections
            values |= {"input-dim": width, "output-dim": width}
        return [x for side in self.sides for k, v in values.items() for x in (f"--{side}-{k}", v)]


LARGE = {"layers": 4, "width": 16, "ffn": 24}
FAMILIES = {
    "mass": Family(
        toy.write_monolingual,
        MASS,
        ("--arch", "mass_tiny"),
        BOTH,
        student="transformer_mass_tiny",
    ),
    "transformer": Family(
        toy.write_parallel, PAIRS, ("--arch", "transformer", *LEARNED), BOTH, heads=2
    ),
    "transformer, pre-norm": Family(
        toy.write_parallel, PAIRS, ("--arch", "transformer", *LEARNED, *PRE_NORM, TIED), BOTH
    ),
    "roberta, pre-norm": Family(
        toy.write_monolingual,
        MLM,
        ("--arch", "roberta_prenorm", "--max-positions", 40, "--untie-weights-roberta"),
        ("encoder",),
        heads=2,
        criterion="masked_lm",
    ),
    "roberta, classes": Family(
        toy.write_labeled,
        (*CLASSES, "--max-positions", 40),
        ("--arch", "roberta"),
        ("encoder",),
        criterion="sentence_prediction",
        head="sentence_classification_head",
    ),
    "transformer_lm": Family(
        toy.write_monolingual,
        LM,
        ("--arch", "transformer_lm", "--decoder-learned-pos"),
        ("decoder",),
        heads=2,
    ),
    "transformer_lm, gpt2": Family(
        toy.write_monolingual, LM, ("--arch", "transformer_lm_gpt2_micro"), ("decoder",)
    ),
}


@dataclass(frozen=True)
class Teacher:
    name: str
    path: Path
    cfg: Any
    task: Any
    model: Any

    def start(self, out, *flags, **sizes):
        """Runs the command for a student of the teacher's sizes but for those given."""
        family = FAMILIES[self.name]
        sizes = {**LARGE, "heads": family.heads, **sizes}
        arch = ("--arch", family.student or family.arch[1], *family.arch[2:])
        argv = ["init-student", "--teacher", self.path, "--out", out, *arch]
        return main([str(x) for x in (*argv, *family.sizes(**sizes), *flags)])

    @torch.no_grad()
    def outputs(self, model):
        """What a model predicts for a batch: logits of every position, and of every class."""
        net_input = dict(toy.batch(self.task, range(9))["net_input"])
        net_input.pop("positions", None)  # the stock student has no such argument
        found = [model(**net_input)[0]]
        if head := FAMILIES[self.name].head:
            found.append(model(**net_input, features_only=True, classification_head_name=head)[0])
        return found

    def assert_function(self, out, tolerance):
        """The student computes what the teacher does."""
        (student,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(out)])
        pairs = zip(self.outputs(student.eval()), self.outputs(self.model), strict=True)
        for x, y in pairs:
            assert x.shape == y.shape and y.std() > 0.01
            assert (x - y).abs().max() <= tolerance * y.abs().max()
        return student


@cache
def make_teacher(name, folder):
    """A family's teacher, all values random, with a student of half its width planted in it."""
    family, folder = FAMILIES[name], folder / name.replace(", ", "_")
    data = family.write(folder / "data", count=20)
    argv = (data, *family.task, *family.arch, *family.sizes(**LARGE, heads=family.heads))
    cfg = toy.parse(*argv, "--criterion", family.criterion, "--max-tokens", 500)
    task = tasks.setup_task(cfg.task)
    torch.manual_seed(5)
    model = task.build_model(cfg.model).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    planting.plant(model, heads=2)
    task.load_dataset("train")
    return Teacher(name, toy.save_model(folder / "t.pt", cfg, model), cfg, task, model)
