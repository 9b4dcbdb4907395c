"""The sizes of a loss that is measured."""

from dataclasses import asdict, dataclass

import torch

from ..distill.divergence import DIVERGENCES

DTYPES = ("float32", "float64", "bfloat16", "float16")


@dataclass(frozen=True)
class LossProblem:
    """Sizes of one loss: N positions, V symbols, widths of student and teacher.

    Attributes:
        topk: symbols a position of the variant `cached`; below `vocab`.
        divergence, beta: as --kd-divergence and --kd-beta.
        clock: one of `timing.CLOCKS`.
    """

    tokens: int
    vocab: int
    student_dim: int
    teacher_dim: int
    chunk_tokens: int
    topk: int
    dtype: str
    device: str
    divergence: str
    beta: float
    clock: str = "wall"


def check_sizes(problem: LossProblem) -> None:
    """Checks the command line.

    Raises:
        ValueError: names all sizes below 1, an unknown dtype, or a device that is not there.
    """
    wrong = [
        f"--{name.replace('_', '-')}: expected 1 or more, found {value}"
        for name, value in asdict(problem).items()
        if isinstance(value, int) and value < 1
    ]
    if problem.topk >= problem.vocab:
        wrong.append(f"--topk: expected less than --vocab {problem.vocab}, found {problem.topk}")
    if problem.divergence not in DIVERGENCES:
        known = ", ".join(DIVERGENCES)
        wrong.append(f"--divergence: expected one of {known}, found {problem.divergence!r}")
    if not 0 <= problem.beta <= 1:
        wrong.append(f"--beta: expected 0 to 1, found {problem.beta}")
    if problem.dtype not in DTYPES:
        wrong.append(f"--dtype: expected one of {', '.join(DTYPES)}, found {problem.dtype!r}")
    if problem.device == "cuda" and not torch.cuda.is_available():
        wrong.append("--device cuda: PyTorch finds no GPU here")
    if wrong:
        raise ValueError("; ".join(wrong))
