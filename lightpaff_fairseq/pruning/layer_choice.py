"""Choose which layers of a teacher a student keeps, by the importance of their weights."""

import re
from collections.abc import Mapping

from torch import Tensor

from .sizes import Layout

IMPORTANCE, UNIFORM = "importance", "uniform"
Maps = Mapping[str, tuple[str, str]]  # side -> (flag, map)


def without_importance(maps: Maps) -> dict[str, tuple[str, str]]:
    """Return maps by which a layout can be checked before the importance is known."""
    return {
        side: (flag, UNIFORM if spec == IMPORTANCE else spec) for side, (flag, spec) in maps.items()
    }


def by_importance(
    maps: Maps, layout: Layout, scores: Mapping[str, Tensor]
) -> dict[str, tuple[str, str]]:
    """Return the maps with the layers that `importance` chooses, counted from 1, as `1,4`.

    A layer's score is the sum of |weight * gradient| over its weights, to first order the effect of
    removing it on the loss. The layers with the highest scores are kept, in the teacher's order.

    Args:
        scores: of `one_shot.importances`; not used where no map is `importance`.
    """
    chosen = dict(maps)
    for side, (flag, spec) in maps.items():
        if spec == IMPORTANCE:
            teacher, student = layout.sizes_of(side)
            sums = [layer_score(scores, side, layer) for layer in range(teacher.layers)]
            best = sorted(range(teacher.layers), key=lambda i: -sums[i])[: student.layers]
            chosen[side] = (flag, ",".join(str(i + 1) for i in sorted(best)))
    return chosen


def layer_score(scores: Mapping[str, Tensor], side: str, layer: int) -> float:
    """Return the sum of the scores of a layer, which is counted from 0."""
    pattern = re.compile(rf"{side}\.(sentence_encoder\.)?layers\.{layer}\.")
    return sum(float(value.double().sum()) for name, value in scores.items() if pattern.match(name))
