"""Select the units of each group to keep, by scores summed over their weights."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .axes import ATTENTION, FREE, Axes, along, kept_size, kind_of, side_of
from .sizes import Layout

Units = dict[str, Tensor]  # `(members,)` per group


def unit_sums(values: Mapping[str, Tensor], axes: Axes, kept: Mapping[str, Tensor]) -> Units:
    """Sum non-negative tensors over all that belongs to a unit (the L1 norm of rows and columns).

    Args:
        values: by parameter name, tied ones once; `axes`: their groups.
        kept: bool, `(members,)` per group; along the other axis of a matrix only kept units count.
            Groups that are missing are complete.
    Returns:
        sums of the dtype of `values`.
    """
    sums: Units = {}
    for name, value in values.items():
        for axis, group in enumerate(axes[name]):
            if group == FREE:
                continue
            share = value
            for other in range(value.dim() - 1, -1, -1):
                if other != axis:
                    share = _sum(share, other, kept.get(axes[name][other]))
            sums[group] = sums[group] + share if group in sums else share
    return sums


def _sum(value: Tensor, axis: int, kept: Tensor | None) -> Tensor:
    if kept is not None:
        value = value * along(kept.to(value.dtype), axis, value.dim())
    return value.sum(axis)


def remaining_units(full: int, final: int, remaining: float) -> int:
    """Return the size of a group from which the part `remaining` of `full - final` remains.

    Rounded up: that is `full * r(t)` with the group's own final ratio `final / full`.
    """
    return final + math.ceil((full - final) * remaining - 1e-9)


def select_units(
    scores: Mapping[str, Tensor], layout: Layout, remaining: float = 0.0, relative: bool = False
) -> Units:
    """Select the units with the highest scores, the same part of every group; of equal ones the
    first.

    Attention keeps some heads (by the scores of query-key and value-output dimensions together)
    and the same number of dimensions in each of them.

    Args:
        scores: `(members,)` per group, all of a model.
        layout: sizes of teacher and student.
        remaining: part of what is pruned in the end that is still there, see `Schedule.remaining`.
        relative: divide the scores of each product by their sum before heads are compared.
    Returns:
        bool, `(members,)` per group.
    """
    kept = {}
    for group, score in scores.items():
        if kind_of(group) not in ATTENTION:
            count = remaining_units(len(score), kept_size(group, len(score), layout), remaining)
            kept[group] = _highest(score, count)
            continue
        teacher, student = layout.sizes_of(side_of(group))
        products = [scores[group.removesuffix(kind_of(group)) + kind] for kind in ATTENTION]
        if relative:
            products = [values / values.sum().clamp_min(1e-30) for values in products]
        shape = (teacher.heads, teacher.head_dim)
        heads = remaining_units(teacher.heads, student.heads, remaining)
        dims = remaining_units(teacher.head_dim, student.head_dim, remaining)
        best_heads = _highest((products[0] + products[1]).view(shape).sum(1), heads)
        best_dims = torch.stack([_highest(head, dims) for head in score.view(shape)])
        kept[group] = (best_dims & best_heads[:, None]).flatten()
    return kept


def _highest(score: Tensor, count: int) -> Tensor:
    kept = torch.zeros_like(score, dtype=torch.bool)
    kept[score.argsort(descending=True, stable=True)[:count]] = True
    return kept
