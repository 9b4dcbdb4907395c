"""Describe which dimensions of a model belong together, by the axes of its parameters.

A group is a set of axes that are indexed alike. The hidden dimension is one group through the
whole residual stream of an encoder or a decoder (and one for both if they share embeddings):
embeddings, LayerNorms, every matrix that reads from it or writes to it, and the output layer. Each
layer has a group of FFN units; each attention one of query-key and one of value-output dimensions,
with the same number in every head. A member of a group is a unit.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from .sizes import Layout, Sizes

FREE = ""  # an axis that keeps its size: vocabulary, positions, classes
INNER = "inner"
ATTENTION = ("qk", "vo")
Axes = Mapping[str, tuple[str, ...]]

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
for _module, _input in (("self_attn", "hidden"), ("encoder_attn", "source")):
    _KINDS[f"{_module}.q_proj"] = ("qk", "hidden")
    _KINDS[f"{_module}.k_proj"] = ("qk", _input)
    _KINDS[f"{_module}.v_proj"] = ("vo", _input)
    _KINDS[f"{_module}.out_proj"] = ("hidden", "vo")

_NAME = re.compile(
    r"(?P<side>encoder|decoder)\.(sentence_encoder\.)?(layers\.(?P<layer>\d+)\.)?"
    r"(?P<module>.+)\.(?P<kind>weight|bias)"
)
_HEAD = re.compile(r"(?P<head>classification_heads\..+)\.(?P<module>dense|out_proj)\.(weight|bias)")


@dataclass(frozen=True)
class Groups:
    """The groups of a model.

    Attributes:
        axes: group of each axis, by parameter name; a tied parameter appears once.
        sizes: members of each group.
        tied: names of the parameters of each group, tied ones included.
    """

    axes: Axes
    sizes: Mapping[str, int]
    tied: Mapping[str, tuple[str, ...]]

    def count(self, parameters: Mapping[str, Tensor], members: Mapping[str, int]) -> int:
        """Return how many weights the parameters have when groups have so many `members`."""
        return sum(
            math.prod(members.get(g, n) for g, n in zip(self.axes[name], value.shape, strict=True))
            for name, value in parameters.items()
        )


def groups_of(name: str, layout: Layout) -> tuple[str, ...] | None:
    """Return the group of each axis of a parameter; None where the parameter is unknown.

    Args:
        name: as in a state dict of `transformer`, `mass`, `roberta` or `transformer_lm`.
        layout: of which the hidden dimensions that are shared or projected matter.
    """
    if head := _HEAD.fullmatch(name):
        inner = f"{head['head']}.{INNER}"
        axes = (FREE, inner)
        if head["module"] == "dense":
            axes = (inner, "hidden" if layout.shared else "encoder.hidden")
        return axes[:1] if name.endswith(".bias") else axes
    match = _NAME.fullmatch(name)
    if match is None or match["module"] not in _KINDS:
        return None
    if match["side"] == "decoder" and match["module"] in layout.projected:
        return FREE, FREE
    attention = match["module"].split(".")[0]
    layer = f"{match['side']}.{match['layer']}"
    group_names = {
        FREE: FREE,
        "hidden": "hidden" if layout.shared else f"{match['side']}.hidden",
        "source": "hidden" if layout.shared else "encoder.hidden",
        "ffn": f"{layer}.ffn",
        "qk": f"{layer}.{attention}.qk",
        "vo": f"{layer}.{attention}.vo",
    }
    groups = tuple(group_names[kind] for kind in _KINDS[match["module"]])
    return groups[:1] if match["kind"] == "bias" else groups


def find_groups(model: nn.Module, layout: Layout) -> Groups:
    """Return the groups of all parameters of a model.

    Raises:
        ValueError: names the first parameter whose axes are unknown or of another size.
    """
    axes: dict[str, tuple[str, ...]] = {}
    sizes: dict[str, int] = {}
    tied: dict[str, dict[str, None]] = {}
    unique = dict(model.named_parameters())
    for name, parameter in model.named_parameters(remove_duplicate=False):
        described = f"{name} {tuple(parameter.shape)}"
        groups = groups_of(name, layout)
        if groups is None or len(groups) != parameter.dim():
            raise ValueError(
                "this architecture cannot be pruned: it is not known what the axes of "
                f"{described} belong to"
            )
        if name in unique:
            axes[name] = groups
        for group, size in zip(groups, parameter.shape, strict=True):
            if group == FREE:
                continue
            if sizes.setdefault(group, size) != size:
                raise ValueError(
                    f"this architecture cannot be pruned: {described} has an axis of {size} where "
                    f"{next(iter(tied[group]))} has {sizes[group]}"
                )
            tied.setdefault(group, {})[name] = None
    return Groups(axes, sizes, {group: tuple(names) for group, names in tied.items()})


def side_of(group: str) -> str:
    """Return the module of a group, encoder or decoder; a shared dimension is the encoder's."""
    return "decoder" if group.startswith("decoder.") else "encoder"


def kind_of(group: str) -> str:
    """Return hidden, ffn, qk, vo or inner."""
    return group.rsplit(".", 1)[-1]


def kept_size(group: str, size: int, layout: Layout) -> int:
    """Return how many members of a group of `size` the student has."""
    teacher, student = layout.sizes_of(side_of(group))
    sizes = {"ffn": student.ffn, INNER: student.width if size == teacher.width else size}
    return sizes.get(kind_of(group), student.width)


def whole_heads(teacher: Sizes, student: Sizes) -> bool:
    """Return true if whole heads are pruned, not dimensions of every head."""
    return student.heads < teacher.heads


def along(vector: Tensor, axis: int, dims: int) -> Tensor:
    """Return a view of `(n,)` that multiplies a tensor of `dims` axes along `axis`."""
    return vector.view([-1 if i == axis else 1 for i in range(dims)])


def narrowed(value: Tensor, groups: tuple[str, ...], kept: Mapping[str, Tensor]) -> Tensor:
    """Return a parameter with, along each axis, only the kept units of the axis' group.

    Args:
        kept: bool, `(members,)` per group.
    """
    for axis, group in enumerate(groups):
        if group != FREE:
            value = value.index_select(axis, kept[group].nonzero().flatten())
    return value
