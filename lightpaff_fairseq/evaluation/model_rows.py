"""The rows of a result, whatever the task: one model a row, plain values only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoints.reading import read_checkpoint

MEGABYTE = 10**6
BUFFERS = (".version", "._float_tensor")  # in fairseq's state dicts, but no parameters

Row = dict[str, Any]


@dataclass(frozen=True)
class ModelFile:
    """A checkpoint to measure and the name of its row."""

    name: str
    path: Path


def count_parameters(state: dict[str, Any]) -> int:
    """Number of trained values in a state dict; a matrix that appears twice (tied) counts once.

    Tied means the same memory or, since a file written on a GPU holds copies, the same shape and
    bits. Vectors are not compared: only matrices are tied, and fresh biases are equal by chance.
    """
    total = 0
    seen: list[Tensor] = []
    for name, value in state.items():
        if name.endswith(BUFFERS):
            continue
        if value.dim() >= 2:
            if any(value.shape == other.shape and value.equal(other) for other in seen):
                continue
            seen.append(value)
        total += value.numel()
    return total


def describe_file(model: ModelFile) -> Row:
    """The columns that need no data: name, path, params, size_mb (10^6 bytes).

    Raises:
        ValueError: `--path` does not name a fairseq checkpoint.
    """
    state = read_checkpoint(model.path, "--path")
    return {
        "name": model.name,
        "path": str(model.path),
        "params": count_parameters(state["model"]),
        "size_mb": round(model.path.stat().st_size / MEGABYTE, 3),
    }


def add_ratios(rows: Sequence[Row], speed: str) -> None:
    """Adds times_smaller and times_faster, relative to the first row.

    Args:
        rows: changed in place; the first is usually the teacher.
        speed: the column that holds the speed, higher is faster.
    """
    first = rows[0]
    for row in rows:
        row["times_smaller"] = round(first["params"] / row["params"], 2)
        row["times_faster"] = round(row[speed] / first[speed], 2)
