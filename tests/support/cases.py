"""One case a criterion: the contract tests run over all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import toy

LARGE = {"embed-dim": 16, "ffn-embed-dim": 32, "attention-heads": 2, "layers": 2}
SMALL = {"embed-dim": 8, "ffn-embed-dim": 16, "attention-heads": 2, "layers": 1}
EXACT = ("--dropout", 0, "--attention-dropout", 0)
SMOOTHED = ("--label-smoothing", 0.1, "--report-accuracy")


def symbols(model: Any, sample: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Logits and labels of every position, padding included: models that predict symbols."""
    return model(**sample["net_input"])[0], sample["target"]


def classes(model: Any, sample: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Logits and labels of every sentence."""
    head = "sentence_classification_head"
    net_input = sample["net_input"]
    logits = model(**net_input, features_only=True, classification_head_name=head)[0]
    return logits, sample["target"].view(-1)


@dataclass(frozen=True)
class Case:
    """How a criterion is used.

    Attributes:
        name: the criterion; `stock`: the criterion it extends.
        task: task and its flags; `arch`: model flags common to teacher and student.
        sides: which of encoder and decoder the model has.
        write: makes the data.
        predict: a model's logits and the labels, for the naive reference.
        extra: flags of the stock criterion to be tried as well.
        nll: the log key of the label loss without smoothing.
    """

    name: str
    stock: str
    task: tuple
    arch: tuple
    sides: tuple
    write: Callable[..., Path]
    predict: Callable[..., tuple[Tensor, Tensor]] = symbols
    extra: tuple = ()
    nll: str = "nll_loss"
    has_smoothing: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_smoothing", "label_smoothed" in self.stock)

    def data(self, folder: Path, words: int = toy.WORDS) -> Path:
        return self.write(folder, words=words)

    def __str__(self):
        return self.name  # in the names of tests

    def argv(self, data: Path, *flags: object, teacher: bool = False) -> tuple:
        """fairseq-train's arguments for the student (or the teacher), without dropout."""
        sizes = LARGE if teacher else SMALL
        own = [x for side in self.sides for k, v in sizes.items() for x in (f"--{side}-{k}", v)]
        return (data, *self.task, *self.arch, *own, *EXACT, "--criterion", self.stock, *flags)

    def positions(self, target: Tensor, pad: int) -> Tensor:
        """Which labels count in the loss."""
        return torch.ones_like(target, dtype=torch.bool) if target.dim() == 1 else target.ne(pad)


BLOCKS = ("--sample-break-mode", "eos", "--tokens-per-sample", 32)
PAIRS = ("--max-source-positions", 64, "--max-target-positions", 64)
CASES = [
    Case(
        "kd_mlm",
        "masked_lm",
        ("--task", "masked_lm", *BLOCKS, "--mask-prob", 0.4),
        ("--arch", "roberta", "--max-positions", 64),
        ("encoder",),
        toy.write_monolingual,
    ),
    Case(
        "kd_clm",
        "cross_entropy",
        ("--task", "language_modeling", *BLOCKS),
        ("--arch", "transformer_lm", "--share-decoder-input-output-embed"),
        ("decoder",),
        toy.write_monolingual,
        extra=("--sentence-avg",),
    ),
    Case(
        "kd_mssm",
        "label_smoothed_cross_entropy",
        ("--task", "masked_seq2seq", *BLOCKS),
        ("--arch", "mass_tiny", *PAIRS),
        ("encoder", "decoder"),
        toy.write_monolingual,
        extra=SMOOTHED,
    ),
    Case(
        "kd_lu",
        "sentence_prediction",
        ("--task", "sentence_prediction", "--num-classes", 3, "--init-token", 0)
        + ("--max-positions", 64),
        ("--arch", "roberta"),
        ("encoder",),
        toy.write_labeled,
        predict=classes,
        extra=("--report-mcc",),
        nll="label_loss",
    ),
    Case(
        "kd_lm",
        "cross_entropy",
        ("--task", "language_modeling", *BLOCKS),
        ("--arch", "transformer_lm"),
        ("decoder",),
        toy.write_monolingual,
    ),
    Case(
        "kd_ss",
        "label_smoothed_cross_entropy",
        ("--task", "translation"),
        ("--arch", "transformer_mass_tiny", *PAIRS),
        ("encoder", "decoder"),
        toy.write_parallel,
        extra=(*SMOOTHED, "--sentence-avg", "--ignore-prefix-size", 2),
    ),
]
