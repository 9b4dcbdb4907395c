"""One case a criterion: the contract tests run over all of them."""

from dataclasses import dataclass
from pathlib import Path

import toy

SIZES = ("--encoder-embed-dim", 16, "--encoder-ffn-embed-dim", 32, "--encoder-attention-heads", 2)
SMALLER = ("--encoder-embed-dim", 8, "--encoder-ffn-embed-dim", 16, "--encoder-attention-heads", 2)
EXACT = ("--dropout", 0, "--attention-dropout", 0)


@dataclass(frozen=True)
class Case:
    """How a criterion is used.

    Attributes:
        name: the criterion; `stock`: the criterion it extends.
        task: task and its flags; `arch`: model flags common to teacher and student.
        teacher, student: flags of the two models.
        parallel: whether the data are sentence pairs.
    """

    name: str
    stock: str
    task: tuple
    arch: tuple
    teacher: tuple
    student: tuple
    parallel: bool

    def data(self, folder: Path, words: int = toy.WORDS) -> Path:
        write = toy.write_parallel if self.parallel else toy.write_monolingual
        return write(folder, words=words)

    def argv(self, data: Path, *flags: object, teacher: bool = False) -> tuple:
        """fairseq-train's arguments for the student (or the teacher), without dropout."""
        own = self.teacher if teacher else self.student
        return (data, *self.task, *self.arch, *own, *EXACT, *flags)


def _sizes(flags: tuple, layers: int) -> tuple:
    decoder = tuple(f.replace("--encoder", "--decoder") if isinstance(f, str) else f for f in flags)
    return (*flags, *decoder, "--encoder-layers", layers, "--decoder-layers", layers)


CASES = [
    Case(
        "kd_mssm",
        "label_smoothed_cross_entropy",
        ("--task", "masked_seq2seq", "--sample-break-mode", "eos", "--tokens-per-sample", 32),
        ("--arch", "mass_tiny", "--max-source-positions", 64, "--max-target-positions", 64),
        _sizes(SIZES, 2),
        _sizes(SMALLER, 1),
        parallel=False,
    ),
    Case(
        "kd_ss",
        "label_smoothed_cross_entropy",
        ("--task", "translation"),
        ("--arch", "transformer_mass_tiny", "--max-source-positions", 64)
        + ("--max-target-positions", 64),
        _sizes(SIZES, 2),
        _sizes(SMALLER, 1),
        parallel=True,
    ),
]
