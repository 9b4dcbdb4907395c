"""A fairseq checkpoint in a Hugging Face folder, and how far the two differ."""

import json
from pathlib import Path

import torch

from ..checkpoints.building import build, heads_in
from ..huggingface import from_fairseq as to_hf
from ..huggingface import hf_parity as parity
from ..huggingface.fairseq_source import read
from ..huggingface.packages import transformers_package
from ..huggingface.to_fairseq import RECORD


def write(path: Path, data: Path | None, folder: Path) -> None:
    """Writes a checkpoint as model and tokenizer that `transformers` loads.

    Args:
        data: the folder of the dictionaries; None: the checkpoint's, or where it was trained.
        folder: where to; made if need be.
    Raises:
        ValueError: no class of transformers holds the model: all reasons at once.
    """
    to_hf.write(path, data, folder)


@torch.no_grad()
def largest_difference(path: Path, data: Path | None, folder: Path) -> float:
    """The largest absolute difference of a log-probability on sentences of random symbols.

    Args:
        path, data: as for `write`; `folder`: what it wrote.
    """
    ours = read(path, data)
    model = build(ours.cfg.model, ours.task, heads_in(ours.tensors), "--from fairseq").float()
    model.load_state_dict(dict(ours.tensors), strict=True, model_cfg=ours.cfg.model)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = getattr(transformers_package(), config["architectures"][0])
    theirs = kind.from_pretrained(folder, local_files_only=True).eval().float()
    order = json.loads((folder / RECORD).read_text(encoding="utf-8"))["order"]
    mine, found = parity.compared(model, theirs, theirs.config.to_dict(), torch.tensor(order))
    return float((mine.log_softmax(-1) - found.log_softmax(-1)).abs().max())
