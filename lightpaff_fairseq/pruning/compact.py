"""Compact a pruned checkpoint to a small stock model with the same outputs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.building import apply_arch_defaults, build, dummy_task, heads_in
from ..checkpoints.reading import read_checkpoint
from ..checkpoints.state_dict import KEPT
from ..checkpoints.strip import stripped_state, to_primitive
from ..checkpoints.writing import check_output, verify_loads, write_checkpoint
from .masked_checkpoint import load_model, pruning_state
from .plan import Plan, plan_for
from .sizes import Sizes
from .transfer import teacher_tensors, transfer

TOLERANCE = 1e-5  # of the largest output


def compact_checkpoint(source: Path, out: Path, overwrite: bool = False) -> Plan:
    """Write the small model of a pruned checkpoint.

    The result is what `lightpaff strip` would write of a model trained at this size. Before the
    file appears under its name, both models have computed the same (to `TOLERANCE`) for random
    tokens in float64, and what was written has been read back and loaded.

    Args:
        source: a checkpoint of a prunable task, whose target is reached.
        out: the file to write; its folder exists.
        overwrite: replace `out` if it exists.
    Returns:
        what became of the model.
    Raises:
        ValueError: `source` is unusable, not of a prunable task or not at its target, or `out`
            cannot be written.
    """
    check_output(out, overwrite, source, "--path")
    state = read_checkpoint(source, "--path", may_be_masked=True)
    state.pop("last_optimizer_state", None)
    pruned = _finished(state, source)
    apply_arch_defaults(state["cfg"].model)
    model = load_model(state, f"--path {source}")
    del state["model"]  # memory, of large models
    sizes = {side: Sizes(**values) for side, values in pruned["identity"]["student"].items()}
    plan = plan_for(model, state["cfg"].model, sizes)
    _check_counts(plan, pruned["kept"], source)
    student = _narrowed(model, plan, pruned["kept"])
    tensors = dict(student.state_dict())
    _check_outputs(model.double(), student.double())  # deep models round to more than TOLERANCE
    cfg = to_primitive(state["cfg"], "cfg")
    cfg["model"] = to_primitive(plan.config, "cfg.model")
    expected = stripped_state({**state, "cfg": cfg, "model": tensors})
    task = dummy_task(expected["model"], "--out")
    write_checkpoint(expected, out, partial(verify_loads, expected, task))
    return plan


def _finished(state: Mapping[str, Any], source: Path) -> dict[str, Any]:
    pruned = pruning_state(state)
    if pruned is None:
        raise ValueError(
            f"--path {source}: expected a checkpoint that fairseq-train wrote for a prunable task, "
            "got one without pruning state"
        )
    end, updates = pruned["identity"]["end"], state["optimizer_history"][-1]["num_updates"]
    if not pruned["is_finished"]:
        raise ValueError(
            f"--path {source}: expected a model at its target, got one of update {updates}; "
            f"pruning ends at update {end} (--validate-after-updates {end} keeps "
            "checkpoint_best.pt from being an earlier one)"
        )
    return pruned


def _check_counts(plan: Plan, kept: Mapping[str, Tensor], source: Path) -> None:
    counts = {group: int(mask.sum()) for group, mask in kept.items()}
    if counts != plan.kept_sizes():
        raise ValueError(
            f"--path {source}: expected {plan.kept_sizes()} units, got {counts}: the checkpoint "
            "is corrupt"
        )


def _narrowed(model: Any, plan: Plan, kept: Mapping[str, Tensor]) -> Any:
    state = model.state_dict()
    heads = plan.layout.narrower_heads(heads_in(state))
    student = build(plan.config, dummy_task(state, "--out"), heads, "--out")
    tensors = {n: x for n, x in teacher_tensors(model, student).items() if not n.endswith(KEPT)}
    student.load_state_dict(transfer(tensors, student, plan.layout, kept), strict=True)
    return student


def _check_outputs(model: Any, student: Any) -> None:
    for expected, output in zip(_outputs(model), _outputs(student), strict=True):
        difference = float((expected - output).abs().max() / expected.abs().max().clamp_min(1))
        if not difference <= TOLERANCE:
            raise ValueError(
                f"the small model does not compute what the masked one does (difference "
                f"{difference:.1e} of the largest output): nothing was written"
            )


@torch.no_grad()
def _outputs(model: Any) -> list[Tensor]:
    """Return the logits for random tokens: of every position, and of every class."""
    generator = torch.Generator().manual_seed(1)
    table = next(m for n, m in model.named_modules() if n.endswith("embed_tokens"))
    limits = model.max_positions()
    length = min(12, *(limits if isinstance(limits, tuple) else (limits,)))
    tokens = torch.randint(4, table.num_embeddings, (3, length), generator=generator)
    net_input = {"src_tokens": tokens, "src_lengths": torch.full((3,), length)}
    if hasattr(model, "encoder") and hasattr(model, "decoder"):
        rows = model.decoder.embed_tokens.num_embeddings
        net_input["prev_output_tokens"] = torch.randint(4, rows, (3, length), generator=generator)
    outputs = [model(**net_input)[0]]
    for name in getattr(model, "classification_heads", {}):
        outputs.append(model(**net_input, features_only=True, classification_head_name=name)[0])
    return outputs
