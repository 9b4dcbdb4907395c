"""Prunable models of all kinds, pruned at once by the size of random weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from fairseq import tasks

import toy

BLOCKS = ("--sample-break-mode", "eos", "--tokens-per-sample", 32)
POSITIONS = ("--max-source-positions", 40, "--max-target-positions", 40)
MLM = (toy.write_monolingual, "masked_lm", (*BLOCKS, "--mask-prob", 0.4))
LM = (toy.write_monolingual, "language_modeling", BLOCKS)
MASS = (toy.write_monolingual, "masked_seq2seq", (*BLOCKS, *POSITIONS))
PAIRS = (toy.write_parallel, "translation", POSITIONS)
CLASSES = (
    toy.write_labeled,
    "sentence_prediction",
    ("--num-classes", 3, "--init-token", 0, "--max-positions", 40),
)
PRE_NORM = ("--encoder-normalize-before", "--decoder-normalize-before")
LEARNED = ("--encoder-learned-pos", "--decoder-learned-pos")
TIED = "--share-decoder-input-output-embed"
ROBERTA = ("--arch", "roberta", "--max-positions", 40)
HALF = ("--prune-target-width", 0.5, "--prune-multiple", 4)
WHOLE = (*HALF, "--prune-attention", "heads")


@dataclass(frozen=True)
class Prunable:
    """Data, task and model; `sizes`: flags that are not the usual sizes; `target`: --prune-...."""

    kind: tuple
    arch: tuple
    sizes: tuple = ()
    target: tuple = HALF

    @property
    def write(self) -> Callable:
        return self.kind[0]

    @property
    def criterion(self) -> str:
        return self.kind[1] if self.kind in (MLM, CLASSES) else "cross_entropy"

    def flags(self, *more: Any, prunable: bool = True) -> tuple:
        """Everything but the data folder."""
        sides = ("encoder", "decoder")
        if self.kind is LM:
            sides = ("decoder",)
        if self.kind in (MLM, CLASSES):
            sides = ("encoder",)
        sizes = {"embed-dim": 16, "ffn-embed-dim": 24, "attention-heads": 4, "layers": 2}
        own = [x for s in sides for key, v in sizes.items() for x in (f"--{s}-{key}", v)]
        prune = (*self.target, "--prune-importance", "magnitude", "--max-update", 10)
        task = f"{'prunable_' if prunable else ''}{self.kind[1]}"
        return (
            *("--task", task, *self.kind[2], *self.arch, *own, *self.sizes),
            *("--criterion", self.criterion, "--max-tokens", 500, "--dropout", 0),
            *(prune if prunable else ()),
            *more,
        )


CASES = {
    "roberta": Prunable(MLM, ROBERTA),
    "roberta, whole heads": Prunable(MLM, ROBERTA, target=WHOLE),
    "roberta, pre-norm, untied": Prunable(
        MLM, ("--arch", "roberta_prenorm", "--max-positions", 40, "--untie-weights-roberta")
    ),
    "classes": Prunable(CLASSES, ROBERTA),
    "classes, pre-norm": Prunable(
        CLASSES, ("--arch", "roberta_prenorm", "--max-positions", 40), target=WHOLE
    ),
    "lm, projected, sinusoidal": Prunable(LM, ("--arch", "transformer_lm")),
    "lm, untied, sinusoidal": Prunable(
        LM, ("--arch", "transformer_lm", "--decoder-input-dim", 16, "--decoder-output-dim", 16)
    ),
    "lm, gpt2": Prunable(
        LM,
        ("--arch", "transformer_lm_gpt2_micro"),
        ("--decoder-input-dim", 16, "--decoder-output-dim", 16),
    ),
    "translation, sinusoidal": Prunable(PAIRS, ("--arch", "transformer")),
    "translation, pre-norm, tied, sinusoidal": Prunable(
        PAIRS, ("--arch", "transformer", *PRE_NORM, TIED), target=WHOLE
    ),
    "translation, learned, unequal sides": Prunable(
        PAIRS,
        ("--arch", "transformer", *LEARNED, "--layernorm-embedding"),
        ("--decoder-embed-dim", 24, "--decoder-attention-heads", 2, "--encoder-layers", 3),
    ),
    "translation, all tied, post-norm": Prunable(
        PAIRS, ("--arch", "transformer_mass_tiny", "--decoder-learned-pos")
    ),
    "mass": Prunable(MASS, ("--arch", "mass_tiny")),
    "mass, whole heads": Prunable(MASS, ("--arch", "mass_tiny"), target=WHOLE),
}


def do_nothing() -> None:
    """An optimizer's step that leaves all weights as they are."""


@dataclass
class Built:
    """A task with its data, and a model with random weights."""

    cfg: Any
    task: Any
    model: Any

    @torch.no_grad()
    def outputs(self, model: Any) -> list[torch.Tensor]:
        """Logits of every position, and of every class."""
        net_input = dict(toy.batch(self.task, range(9))["net_input"])
        net_input.pop("positions", None)
        model.eval()
        found = [model(**net_input)[0]]
        for name in getattr(model, "classification_heads", {}):
            found.append(model(**net_input, features_only=True, classification_head_name=name)[0])
        return found

    def prune(self) -> Any:
        """Prune to the target at once; return the pruner."""
        pruner = self.task.pruner
        pruner.step(None, pruner.schedule.end, do_nothing)
        return pruner

    def save(self, path: Any) -> Any:
        """As the trainer does, with what the task wants in it."""
        toy.save_model(path, self.cfg, self.model)
        state = toy.checkpoint(path)
        state["extra_state"] |= self.task.get_checkpoint_dict()
        torch.save(state, path)
        return path


def build(case: Prunable, folder: Any, *flags: Any, prunable: bool = True) -> Built:
    data = case.write(folder / "data", count=12)
    cfg = toy.parse(data, *case.flags(*flags, prunable=prunable))
    task = tasks.setup_task(cfg.task)
    torch.manual_seed(5)
    model = task.build_model(cfg.model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    task.load_dataset("train")
    return Built(cfg, task, model.eval())
