"""Which dimensions of a model are pruned together, and of which parameters.

`pruning/width.py` knows what belongs together; here are the groups of a whole model, and the sizes
that they have in the student.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .sizes import Layout, Sizes
from .width import FREE, INNER, groups_of

ATTENTION = ("qk", "vo")
Axes = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Groups:
    """The groups of a model.

    Attributes:
        axes: the group of each axis, by the name of a parameter; a tied one appears once.
        sizes: members of each group.
        tied: names of the parameters of each group, those of tied ones included.
    """

    axes: Axes
    sizes: Mapping[str, int]
    tied: Mapping[str, tuple[str, ...]]


def side_of(group: str) -> str:
    """The side whose sizes a group has; a shared hidden dimension is the encoder's too."""
    return "decoder" if group.startswith("decoder.") else "encoder"


def kind_of(group: str) -> str:
    """hidden, ffn, qk, vo or inner."""
    return group.rsplit(".", 1)[-1]


def find_groups(model: nn.Module, shared: bool, projected: frozenset[str]) -> Groups:
    """The groups of all parameters.

    Args:
        shared: whether encoder and decoder have one hidden dimension.
        projected: modules of a width of their own, see `Layout`.
    Raises:
        ValueError: names the first parameter of which it is not known what its axes are.
    """
    axes: dict[str, tuple[str, ...]] = {}
    sizes: dict[str, int] = {}
    tied: dict[str, list[str]] = {}
    unique = dict(model.named_parameters())
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found = groups_of(name, shared, projected)
        if found is None or len(found) != parameter.dim():
            raise ValueError(
                "this architecture cannot be pruned: it is not known what the axes of "
                f"{name} {tuple(parameter.shape)} belong to"
            )
        if name in unique:
            axes[name] = found
        for group, size in zip(found, parameter.shape, strict=True):
            if group == FREE:
                continue
            if sizes.setdefault(group, size) != size:
                raise ValueError(
                    f"this architecture cannot be pruned: {name} {tuple(parameter.shape)} has an "
                    f"axis of {size} where {tied[group][0]} has {sizes[group]}"
                )
            names = tied.setdefault(group, [])
            names += [name] if name not in names else []
    return Groups(axes, sizes, {group: tuple(names) for group, names in tied.items()})


def kept_size(group: str, size: int, layout: Layout) -> int:
    """How many members of a group of `size` the student has."""
    side = side_of(group)
    teacher, student = layout.teacher[side], layout.student[side]
    wanted = {"ffn": student.ffn, INNER: student.width if size == teacher.width else size}
    return wanted.get(kind_of(group), student.width)


def whole_heads(teacher: Sizes, student: Sizes) -> bool:
    """Whether attention loses whole heads, rather than dimensions of every head."""
    return student.heads < teacher.heads


def shaped(vector: Tensor, axis: int, dims: int) -> Any:
    """`(n,)` so that it multiplies a tensor of `dims` axes along `axis`."""
    return vector.view([-1 if i == axis else 1 for i in range(dims)])
