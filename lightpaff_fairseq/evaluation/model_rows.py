"""Result rows of all tasks: one model per row, JSON values only."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoints.dictionaries import check_trained_with, set_up_in
from ..checkpoints.reading import read_checkpoint
from ..megabytes import megabytes
from .markdown_table import Column

BUFFERS = (".version", "._float_tensor")  # entries of fairseq's state dicts that are not parameters

Row = dict[str, Any]


@dataclass(frozen=True)
class ModelFile:
    """A checkpoint to evaluate.

    Attributes:
        name: of its row; group: of the model whatever its seed.
        data: binarized with its dictionaries.
    """

    name: str
    path: Path
    group: str
    data: Path


@dataclass(frozen=True)
class Evaluation:
    """The rows of all models, the columns to print, and the notes below the table."""

    rows: list[Row]
    columns: Sequence[Column]
    notes: Sequence[str]


def count_parameters(state: Mapping[str, Tensor]) -> int:
    """Count the parameters of a state dict; tied matrices count once.

    Matrices of equal shape and values are taken as tied, since checkpoints written on a GPU hold
    copies. Vectors are not compared: biases are never tied, but equal at initialization.
    """
    total = 0
    matrices: list[Tensor] = []
    for name, value in state.items():
        if name.endswith(BUFFERS):
            continue
        if value.dim() >= 2:
            if any(value.shape == other.shape and value.equal(other) for other in matrices):
                continue
            matrices.append(value)
        total += value.numel()
    return total


def describe_file(model: ModelFile) -> Row:
    """Return the entries that need no data: name, group, seed, path, params, size_mb (10^6 bytes).

    `seed` is that of the training run, where the checkpoint tells.

    Raises:
        ValueError: the file is not a fairseq checkpoint, or it was trained with other dictionaries
            than its data.
    """
    state = read_checkpoint(model.path, "--path")
    task = set_up_in(state["cfg"].task, model.data)
    if task is not None:  # else fairseq says what is missing
        named = f"DATA {model.data}"
        check_trained_with(("--path", model.path), state["cfg"].task, task, named)
    seed = (state["cfg"].get("common") or {}).get("seed")
    return {
        "name": model.name,
        "group": model.group,
        **({} if seed is None else {"seed": seed}),
        "path": str(model.path),
        "params": count_parameters(state["model"]),
        "size_mb": round(megabytes([model.path]), 3),
    }


def check_same_samples(models: Sequence[ModelFile], labels: Sequence[Sequence[float]]) -> None:
    """Refuse data of a model that are not the samples of the first model's.

    Args:
        labels: of every model's data, in the order of the samples.
    Raises:
        ValueError: there are more or fewer samples, or other labels.
    """
    for model, own in zip(models, labels, strict=True):
        if list(own) != list(labels[0]):
            raise ValueError(
                f"--data-of {model.name}={model.data}: expected the {len(labels[0]):,} samples of "
                f"{models[0].data} with the same labels, got {len(own):,} samples"
            )


def add_speeds(rows: Sequence[Row], column: str, speeds: Sequence[Sequence[float]]) -> None:
    """Add the median speed, the speeds of all runs, times_smaller and times_faster.

    Args:
        rows: changed in place; ratios are relative to the first, usually the teacher.
        column: key of the median, as `tokens_per_s`.
        speeds: one list per round, with the speed of every model.
    """
    for row, runs in zip(rows, zip(*speeds, strict=True), strict=True):
        row[column] = round(statistics.median(runs), 2)
        row[f"{column}_runs"] = list(runs)
        row["times_smaller"] = round(rows[0]["params"] / row["params"], 2)
        row["times_faster"] = round(row[column] / rows[0][column], 2)
