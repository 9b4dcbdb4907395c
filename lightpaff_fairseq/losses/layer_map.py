"""Match layers of the student with layers of the teacher.

Users count layers from 1, in every flag and in every error message; the code counts from 0.
"""

import re

from ..problems import Problems

Pairs = tuple[tuple[int, int], ...]

HELP = (
    "first (1:1, 2:2, ...), last (both counted from the top), uniform (every n-th teacher layer, n "
    "= teacher layers / student layers, rounded down), firstK or lastK (only the K lowest or "
    "highest layers of both, as last2), or pairs STUDENT:TEACHER as 1:3,2:6; layers are counted "
    "from 1"
)


def layer_pairs(spec: str, n_student: int, n_teacher: int, flag: str = "--kd-layer-map") -> Pairs:
    """Return the pairs of layers that a map selects.

    Args:
        spec: see `HELP`. With L_S and L_T layers, counted from 0: `first` i <-> i, `last`
            i <-> i + L_T - L_S, `uniform` i <-> (i + 1) * floor(L_T / L_S) - 1, for each i of the
            student's; `firstK` i <-> i and `lastK` L_S - K + i <-> L_T - K + i for each i < K.
            Pairs are written counted from 1.
        n_student, n_teacher: numbers of layers, L_S and L_T.
        flag: named in the errors.
    Returns:
        (student, teacher) counted from 0, both ascending.
    Raises:
        ValueError: an unknown word, a layer that does not exist, pairs that do not ascend, or more
            student than teacher layers where every student layer needs one of its own.
    Source: the maps of KD Revisited (arXiv 2206.14366), the last K in ascending order.
    """
    name = f"{flag} {spec!r}"
    if top := re.fullmatch(r"(first|last)(\d+)", spec):
        return _ends(name, top[1], int(top[2]), (n_student, n_teacher))
    if re.fullmatch(r"\d+:\d+(,\d+:\d+)*", spec):
        return _explicit(name, spec, (n_student, n_teacher))
    if spec not in ("first", "last", "uniform"):
        raise ValueError(
            f"{name}: expected first, last, uniform, firstK, lastK or pairs as 1:3,2:6 (counted "
            "from 1)"
        )
    if n_student > n_teacher:
        raise ValueError(
            f"{name}: expected at most as many student as teacher layers, got {n_student} student "
            f"layers and {n_teacher} teacher layers"
        )
    if spec == "uniform":
        step = n_teacher // max(n_student, 1)
        return tuple((i, (i + 1) * step - 1) for i in range(n_student))
    shift = n_teacher - n_student if spec == "last" else 0
    return tuple((i, i + shift) for i in range(n_student))


def _ends(name: str, end: str, count: int, layers: tuple[int, int]) -> Pairs:
    if not 1 <= count <= min(layers):
        raise ValueError(
            f"{name}: expected a number from 1 to {min(layers)}, got {count} (the student has "
            f"{layers[0]} layers, the teacher {layers[1]})"
        )
    student, teacher = (n - count if end == "last" else 0 for n in layers)
    return tuple((student + i, teacher + i) for i in range(count))


def _explicit(name: str, spec: str, layers: tuple[int, int]) -> Pairs:
    pairs = [(int(s), int(t)) for s, t in (pair.split(":") for pair in spec.split(","))]
    problems = Problems()
    for pair in pairs:
        for model, layer, count in zip(("student", "teacher"), pair, layers, strict=True):
            problems.unless(
                1 <= layer <= count,
                f"{model} layer {layer} does not exist (the {model} has {count} layers)",
            )
    for (s1, t1), (s2, t2) in zip(pairs, pairs[1:], strict=False):
        problems.unless(
            s1 < s2 and t1 < t2,
            f"expected layers that ascend in both models, got {s1}:{t1} before {s2}:{t2}",
        )
    problems.raise_if_any(f"{name}, counted from 1: ")
    return tuple((s - 1, t - 1) for s, t in pairs)
