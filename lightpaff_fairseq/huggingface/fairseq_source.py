"""A fairseq checkpoint that goes to Hugging Face, and what is known of where it came from."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fairseq.data import Dictionary
from torch import Tensor

from ..checkpoints.building import apply_arch_defaults, value_of
from ..checkpoints.reading import read_checkpoint
from . import fairseq_checkpoint as checkpoint
from .naming import about
from .to_fairseq import ORIGIN, RECORD

NOTED = ("order", "model_type", "architecture", "dtype")  # what `from_hf` wrote and is read here

TABLES = [f"{x}.embed_tokens.weight" for x in ("encoder.sentence_encoder", "encoder", "decoder")]


@dataclass(frozen=True)
class Ours:
    """A fairseq checkpoint, read, with the dictionaries it belongs to.

    Attributes:
        origin: `huggingface/` of the folder that its vocabulary came from, or None.
        record: what was noted there; without `origin` nothing.
    """

    cfg: Any
    tensors: dict[str, Tensor]
    task: Any
    origin: Path | None
    record: dict[str, Any]

    @property
    def order(self) -> list[int]:
        """The Hugging Face id of each symbol of the target dictionary."""
        return list(self.record.get("order", range(len(self.target))))

    @property
    def target(self) -> Dictionary:
        """The dictionary of what the model predicts."""
        return self.task.target_dictionary or self.task.source_dictionary


def read(path: Path, data: Path | None) -> Ours:
    """Reads a checkpoint with its dictionaries.

    Args:
        data: the folder of the dictionaries; None: the checkpoint's, or where it was trained.
    Raises:
        ValueError: the file is unusable, its weights are not those of the model that it describes,
            there are no dictionaries, or `origin` is damaged.
    """
    state = read_checkpoint(path, "--from fairseq")
    cfg = state["cfg"]
    beside = path.parent if any(path.parent.glob("dict*.txt")) else None
    folder = data or beside or Path(str(value_of(cfg.task, "data")).split(":")[0])
    try:
        task = checkpoint.set_up(cfg, folder)
    except Exception as error:  # whatever a task of any kind raises
        raise ValueError(
            f"--data {folder}: expected the dictionaries of {path}, found none: {error}"
        ) from error
    places = [path.parent / ORIGIN, folder / ORIGIN]
    origin = next((p for p in places if (p / RECORD).is_file()), None)
    record = {} if origin is None else _read_record(origin / RECORD)
    found = Ours(cfg, dict(state["model"]), task, origin, record)
    source, target = len(task.source_dictionary), len(found.target)
    wanted = [(len(found.order), target, origin)]
    wanted += [
        (len(found.tensors[name]), target if name.startswith("decoder") else source, path)
        for name in TABLES
        if name in found.tensors
    ]
    for rows, symbols, says in wanted:
        if rows != symbols:
            raise ValueError(
                f"--data {folder}: expected {rows} symbols, as {says} says, found {symbols}"
            )
    apply_arch_defaults(cfg.model)
    with about(f"--from fairseq {path}"):
        return replace(found, tensors=checkpoint.complete(cfg, task, found.tensors))


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"--from fairseq: {path} is damaged: {error}") from error
    lacking = [key for key in NOTED if not isinstance(record, dict) or key not in record]
    if lacking:
        raise ValueError(f"--from fairseq: {path} is damaged: it lacks {', '.join(lacking)}")
    return dict(record)
