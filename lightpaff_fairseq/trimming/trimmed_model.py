"""Cut the tables of a model, and its configuration; compare it with the whole model."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from ..checkpoints.building import build, heads_in, value_of
from ..checkpoints.dictionaries import set_up_in
from ..checkpoints.strip import stripped_state, to_primitive
from ..checkpoints.writing import verify_loads, write_checkpoint
from ..huggingface.conversion import MODEL
from ..huggingface.hf_parity import PAD, sample_batch
from .cut_list import CutList
from .whole_model import ID_FLAGS, TABLES, WholeModel, dictionaries_of

TOLERANCE = 1e-5  # of the largest output
LANGUAGES = ("source_lang", "target_lang")


def write_trimmed(
    whole: WholeModel, kept: CutList, place: tuple[list[str], str], folder: Path
) -> dict[str, Tensor]:
    """Write `model.pt` to a folder with the dictionaries as cut.

    What was written is read back, loaded, and compared with the whole model on random kept tokens.

    Args:
        place: the languages to keep, and the folder's later name, recorded as the task's data.
    Returns:
        the tensors.
    Raises:
        ValueError: the models differ.
    """
    cfg, (languages, data) = to_primitive(whole.state["cfg"], "cfg"), place
    cfg["task"]["data"] = data
    for name in LANGUAGES:  # which fairseq infers from the names of data files
        if name in cfg["task"]:
            cfg["task"][name] = value_of(value_of(whole.task, "args") or whole.task.cfg, name)
    for section in (cfg["task"], cfg["model"]):
        _cut_languages(section, languages)
        for flag in ID_FLAGS:
            if section.get(flag) is not None:
                section[flag] = int(kept.of("source").new_ids[section[flag]])
    tensors = cut_tensors(whole.state["model"], kept)
    state = stripped_state({**whole.state, "cfg": cfg, "model": tensors})
    task = _check_task(state, kept, folder)
    write_checkpoint(state, folder / MODEL, lambda written: verify_loads(state, task, written))
    _compare(whole, kept, state, task)
    return tensors


def cut_tensors(tensors: dict[str, Tensor], kept: CutList) -> dict[str, Tensor]:
    """Return a state dict with the rows of kept tokens; tied tables stay tied."""
    copies: dict[tuple[Any, ...], Tensor] = {}
    result = dict(tensors)
    for name, side in TABLES.items():
        tensor = tensors.get(name)
        if tensor is not None:
            rows = kept.of(side).kept
            place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tuple(rows))
            if place not in copies:
                copies[place] = tensor[torch.tensor(rows)].contiguous()
            result[name] = copies[place]
    return result


def _cut_languages(section: dict[str, Any], languages: list[str]) -> None:
    """Keep only some languages in a section that lists them."""
    names = section.get("langs")
    if not names or not languages:
        return
    listed = names.split(",") if isinstance(names, str) else names
    left = [name for name in listed if name in languages]
    section["langs"] = ",".join(left) if isinstance(names, str) else left


def _check_task(state: dict[str, Any], kept: CutList, folder: Path) -> Any:
    """Return the task of the new configuration, which must see the dictionaries as cut."""
    task: Any = set_up_in(OmegaConf.create(state["cfg"]["task"]), folder)
    if task is None:
        raise ValueError("--out: fairseq's task does not find its dictionaries in the folder")
    for side, dictionary in zip(("source", "target"), dictionaries_of(task), strict=True):
        if dictionary.symbols != kept.of(side).kept_symbols:
            raise ValueError(f"--out: fairseq's task changes the {side} dictionary that was cut")
    return task


@torch.no_grad()
def _compare(whole: WholeModel, kept: CutList, state: dict[str, Any], task: Any) -> None:
    """Compare both models on random kept tokens.

    Raises:
        ValueError: an output differs.
    """
    cfg = OmegaConf.create(state["cfg"]["model"])
    after = build(cfg, task, heads_in(state["model"]), "--out").float()
    after.load_state_dict(dict(state["model"]), strict=True, model_cfg=cfg)
    section, tensors = whole.state["cfg"].model, whole.state["model"]
    before = build(section, whole.task, heads_in(tensors), "--path").float()
    before.load_state_dict(dict(tensors), strict=True, model_cfg=section)
    limit = after.max_positions()
    longest = int(min(limit) if isinstance(limit, tuple | list) else limit)
    source, target = (torch.tensor(kept.of(side).kept) for side in ("source", "target"))
    tokens, _ = sample_batch(len(source), longest)
    _, previous = sample_batch(len(target), longest)
    new = outputs(after, tokens, previous)
    old = outputs(before, source[tokens], target[previous])
    for name, output in new.items():
        expected = old[name]
        if output.shape[-1] != expected.shape[-1]:
            expected = expected[..., target]
        difference = float((output - expected).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise ValueError(f"--out: {name} of the trimmed model differs by {difference:.2g}")


def outputs(model: Any, tokens: Tensor, previous: Tensor) -> dict[str, Tensor]:
    """Return the output of a model for `(B, T)` tokens, and of each classification head."""
    if hasattr(model, "encoder") and hasattr(model, "decoder"):
        return {"the output": model(tokens, (tokens != PAD).sum(1), previous)[0]}
    result = {"the output": model(tokens)[0]}
    for name in getattr(model, "classification_heads", {}):
        result[name] = model(tokens, classification_head_name=name)[0]
    return result
