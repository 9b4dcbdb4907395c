"""Which units of each group are kept."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .axes import ATTENTION, kept_size, kind_of, side_of, whole_heads
from .sizes import Layout, Sizes


def units_left(full: int, final: int, remaining: float) -> int:
    """Units of a group, rounded up, of which the part `remaining` of `full - final` is still there.

    That is `full * r(t)` with the group's own final ratio `final / full`.
    """
    return final + math.ceil((full - final) * remaining - 1e-9)


def select_units(
    scores: Mapping[str, Tensor], layout: Layout, remaining: float
) -> dict[str, Tensor]:
    """The units with the highest scores, the same part of every group; of equal scores the first.

    Attention keeps in every head the same number of dimensions, or whole heads (by the scores of
    query-key and value-output dimensions together, each as parts of their sums).

    Args:
        scores: `(members,)` a group, all of a model.
        layout: sizes of model and student.
        remaining: see `Schedule.remaining`.
    Returns:
        bool, `(members,)` a group.
    """
    kept = {}
    for group, score in scores.items():
        side, kind = side_of(group), kind_of(group)
        teacher, student = layout.teacher[side], layout.student[side]
        if kind not in ATTENTION:
            count = units_left(len(score), kept_size(group, len(score), layout), remaining)
            kept[group] = _highest(score, count)
        elif whole_heads(teacher, student):
            both = [scores[group.removesuffix(kind) + other] for other in ATTENTION]
            parts = [values / values.sum().clamp_min(1e-30) for values in both]
            kept[group] = _heads(parts[0] + parts[1], teacher, student, remaining)
        else:
            count = units_left(teacher.head_dim, student.head_dim, remaining)
            per_head = score.view(teacher.heads, teacher.head_dim)
            kept[group] = torch.cat([_highest(head, count) for head in per_head])
    return kept


def _highest(score: Tensor, count: int) -> Tensor:
    kept = torch.zeros_like(score, dtype=torch.bool)
    kept[score.argsort(descending=True, stable=True)[:count]] = True
    return kept


def _heads(score: Tensor, teacher: Sizes, student: Sizes, remaining: float) -> Tensor:
    count = units_left(teacher.heads, student.heads, remaining)
    heads = _highest(score.view(teacher.heads, teacher.head_dim).sum(1), count)
    return heads.repeat_interleave(teacher.head_dim)
