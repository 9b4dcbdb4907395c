"""A narrower model inside a wider one: which dimensions belong together, which of them to keep.

A group is a set of axes that are indexed alike. The hidden dimension is one group through the
whole residual stream of an encoder or a decoder (and one for both if they share embeddings):
embeddings, LayerNorms, every matrix that reads from it or writes to it, and the output layer. Each
layer has a group of FFN units; each attention one of query-key and one of value-output dimensions,
with the same number in every head.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from .sizes import Layout, Sizes

FREE = ""  # an axis that keeps its size: vocabulary, positions, classes
INNER = "inner"

_ATTENTION = {
    "self_attn": "hidden",  # what keys and values are made of
    "encoder_attn": "source",
}
# Module -> the kinds of its weight's axes; its bias has the first of them.
_KINDS: dict[str, tuple[str, ...]] = {
    "embed_tokens": (FREE, "hidden"),
    "embed_positions": (FREE, "hidden"),
    "layernorm_embedding": ("hidden",),
    "layer_norm": ("hidden",),
    "output_projection": (FREE, "hidden"),
    "project_in_dim": ("hidden", FREE),
    "project_out_dim": (FREE, "hidden"),
    "lm_head": (FREE, "hidden"),
    "lm_head.dense": ("hidden", "hidden"),  # its output meets the tied embeddings
    "lm_head.layer_norm": ("hidden",),
    "self_attn_layer_norm": ("hidden",),
    "encoder_attn_layer_norm": ("hidden",),
    "final_layer_norm": ("hidden",),
    "fc1": ("ffn", "hidden"),
    "fc2": ("hidden", "ffn"),
}
for _module, _read in _ATTENTION.items():
    _KINDS[f"{_module}.q_proj"] = ("qk", "hidden")
    _KINDS[f"{_module}.k_proj"] = ("qk", _read)
    _KINDS[f"{_module}.v_proj"] = ("vo", _read)
    _KINDS[f"{_module}.out_proj"] = ("hidden", "vo")

_NAME = re.compile(
    r"(?P<side>encoder|decoder)\.(sentence_encoder\.)?(layers\.(?P<layer>\d+)\.)?"
    r"(?P<module>.+)\.(?P<kind>weight|bias)"
)
_HEAD = re.compile(r"(?P<head>classification_heads\..+)\.(?P<module>dense|out_proj)\.(weight|bias)")


def groups_of(
    name: str, shared: bool, projected: frozenset[str] = frozenset()
) -> tuple[str, ...] | None:
    """The group of each axis of a parameter, `FREE` for an axis that keeps its size.

    Args:
        name: as in a state dict of `transformer`, `mass`, `roberta` or `transformer_lm`.
        shared: whether encoder and decoder have one hidden dimension.
        projected: modules whose width is not the hidden dimension, see `Layout`.
    Returns:
        a group an axis; None where nothing is known about the parameter.
    """
    if head := _HEAD.fullmatch(name):
        inner, hidden = f"{head['head']}.{INNER}", "hidden" if shared else "encoder.hidden"
        axes = (inner, hidden) if head["module"] == "dense" else (FREE, inner)
        return axes[:1] if name.endswith(".bias") else axes
    found = _NAME.fullmatch(name)
    if found is None or found["module"] not in _KINDS:
        return None
    if found["side"] == "decoder" and found["module"] in projected:
        return FREE, FREE
    attention = found["module"].split(".")[0]
    place = f"{found['side']}.{found['layer']}"
    known = {
        FREE: FREE,
        "hidden": "hidden" if shared else f"{found['side']}.hidden",
        "source": "hidden" if shared else "encoder.hidden",
        "ffn": f"{place}.ffn",
        "qk": f"{place}.{attention}.qk",
        "vo": f"{place}.{attention}.vo",
    }
    groups = tuple(known[kind] for kind in _KINDS[found["module"]])
    return groups[:1] if found["kind"] == "bias" else groups


def group_scores(
    measure: Mapping[str, Tensor], names: Iterable[tuple[str, str]], layout: Layout
) -> dict[str, Tensor]:
    """Adds up what a measure says of each member of each group.

    Args:
        measure: non-negative tensors, by the teacher's parameter names; tied ones only once.
        names: (student, teacher) names of all parameters that are copied.
        layout: see `groups_of`.
    Returns:
        `(members of the group,)` float64 a group, named after the student's layers.
    """
    scores: dict[str, Tensor] = {}
    for student, teacher in names:
        if teacher not in measure:
            continue
        value = measure[teacher].double()
        for axis, group in enumerate(groups_of(student, layout.shared, layout.projected) or ()):
            if group == FREE:
                continue
            share = value.transpose(0, axis).flatten(1).sum(1) if value.dim() > 1 else value
            scores[group] = scores[group] + share if group in scores else share
    return scores


def select(scores: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """The members of each group that the student keeps, ascending: those of the highest scores.

    Of equal scores the first are kept. Attention keeps whole heads (by query-key and value-output
    together) and within each the same number of dimensions.

    Args:
        scores: `(n,)` a group, see `group_scores`.
        layout: sizes of teacher and student.
    Returns:
        int64 indices a group.
    """
    kept = {}
    for group, score in scores.items():
        side, kind = _side(group), group.rsplit(".", 1)[-1]
        teacher, student = layout.teacher[side], layout.student[side]
        if kind in ("qk", "vo"):
            pair = tuple(scores[f"{group[:-2]}{both}"] for both in ("qk", "vo"))
            kept[group] = _within_heads(score, sum(pair, torch.zeros_like(score)), teacher, student)
            continue
        sizes = {"hidden": student.width, "ffn": student.ffn}
        inner = student.width if len(score) == teacher.width else len(score)
        kept[group] = _highest(score, sizes.get(kind, inner))
    return kept


def _side(group: str) -> str:
    return "decoder" if group.startswith("decoder.") else "encoder"


def _highest(scores: Tensor, count: int) -> Tensor:
    return scores.argsort(descending=True, stable=True)[:count].sort().values


def _within_heads(own: Tensor, both: Tensor, teacher: Sizes, student: Sizes) -> Tensor:
    shape = (teacher.heads, teacher.head_dim)
    heads = _highest(both.view(shape).sum(1), student.heads)
    return torch.cat(
        [h * teacher.head_dim + _highest(own.view(shape)[h], student.head_dim) for h in heads]
    )


def narrowed(value: Tensor, groups: tuple[str, ...], kept: Mapping[str, Tensor]) -> Tensor:
    """`value` with, along each axis, only the kept members of the axis' group."""
    for axis, group in enumerate(groups):
        if group != FREE:
            value = value.index_select(axis, kept[group])
    return value
