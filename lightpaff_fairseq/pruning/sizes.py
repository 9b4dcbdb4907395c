"""How a student lies inside its teacher: sizes and layers, and all that keeps them from fitting."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..checkpoints.building import value_of
from ..losses.layer_map import Pairs, layer_pairs

TIED, NO_NORM = "share_decoder_input_output_embed", "no_decoder_final_norm"
_TABLES = {"embed_tokens": "decoder_input_dim", "output_projection": "decoder_output_dim"}

# What a layer computes with given weights: equal in both, or copied weights mean something else.
FUNCTION = (
    "activation_fn encoder_normalize_before decoder_normalize_before no_decoder_final_norm "
    "layernorm_embedding no_scale_embedding no_token_positional_embeddings no_cross_attention "
    "cross_self_attention pooler_activation_fn"
).split()


@dataclass(frozen=True)
class Sizes:
    """An encoder or a decoder: layers, and of every layer width, heads and FFN units."""

    layers: int
    width: int
    heads: int
    ffn: int

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True)
class Layout:
    """How a student lies inside its teacher; the keys are the sides that the family has.

    Attributes:
        teacher, student: sizes a side.
        layers: (student, teacher) layers a side, counted from 0, one pair a student layer.
        shared: encoder and decoder share their embeddings, so their hidden dimension is one.
        scales: embedding scale of the teacher / that of the student, a side (1 if not scaled).
        projected: decoder modules of a width of their own, with a projection to or from the hidden
            dimension (`transformer_lm --decoder-input-dim`); it stays as it is.
    """

    teacher: Mapping[str, Sizes]
    student: Mapping[str, Sizes]
    layers: Mapping[str, Pairs]
    shared: bool
    scales: Mapping[str, float]
    projected: frozenset[str] = frozenset()


def plan_layout(teacher: Any, student: Any, maps: Mapping[str, tuple[str, str]]) -> Layout:
    """Compares two model sections.

    Args:
        teacher, student: model sections of one family, the architecture's defaults filled in.
        maps: (flag, map) of layers, for each side that the family has.
    Raises:
        ValueError: all at once: the student is wider or deeper than the teacher, its heads do not
            divide, its layers compute something else, or a map does not fit.
    """
    sides = tuple(maps)
    sizes_t, sizes_s = ({side: _sizes(cfg, side) for side in sides} for cfg in (teacher, student))
    problems = [p for side in sides for p in _size_problems(side, sizes_t[side], sizes_s[side])]
    problems += _function_problems(teacher, student)
    if "decoder" in sides:
        problems += _table_problems(teacher, student)
    layers = {}
    for side in sides:
        try:
            layers[side] = _pairs(*maps[side], sizes_s[side].layers, sizes_t[side].layers)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(dict.fromkeys(problems)))
    scaled = not value_of(teacher, "no_scale_embedding")
    scales = {
        side: (sizes_t[side].width / sizes_s[side].width) ** 0.5 if scaled else 1.0
        for side in sides
    }
    shared = any(value_of(cfg, "share_all_embeddings") for cfg in (teacher, student))
    projected = frozenset(
        m for m, key in _TABLES.items() if "decoder" in sides and _own(teacher, key)
    )
    return Layout(sizes_t, sizes_s, layers, bool(shared), scales, projected)


def narrower_heads(
    heads: Mapping[str, tuple[int, int]], layout: Layout
) -> dict[str, tuple[int, int]]:
    """The student's heads: one as wide inside as the model stays so, as fairseq builds it."""
    teacher, student = (sizes.get("encoder") for sizes in (layout.teacher, layout.student))
    if teacher is None or student is None:
        return {}
    return {n: (c, student.width if i == teacher.width else i) for n, (c, i) in heads.items()}


def _sizes(cfg: Any, side: str) -> Sizes:
    names = ("layers", "embed_dim", "attention_heads", "ffn_embed_dim")
    return Sizes(*(int(value_of(cfg, f"{side}_{name}")) for name in names))


def _size_problems(side: str, teacher: Sizes, student: Sizes) -> list[str]:
    limits = {
        "layers": (teacher.layers, student.layers),
        "embed-dim": (teacher.width, student.width),
        "attention-heads": (teacher.heads, student.heads),
        "ffn-embed-dim": (teacher.ffn, student.ffn),
    }
    problems = [
        f"--{side}-{name}: expected from 1 to the teacher's {most}, found {found}"
        for name, (most, found) in limits.items()
        if not 1 <= found <= most
    ]
    if problems:
        return problems
    flag = f"--{side}-attention-heads"
    if student.width % student.heads:
        return [f"{flag}: expected a divisor of the width {student.width}, found {student.heads}"]
    if student.head_dim > teacher.head_dim:
        return [
            f"{flag}: expected heads of at most the teacher's {teacher.head_dim} dimensions, found "
            f"{student.heads} heads of {student.head_dim}"
        ]
    return []


def _own(cfg: Any, key: str) -> int | None:
    """The decoder's width in front of or behind its layers; None where it is that of the layers."""
    width = int(value_of(cfg, key) or value_of(cfg, "decoder_embed_dim"))
    return None if width == int(value_of(cfg, "decoder_embed_dim")) else width


def _table_problems(teacher: Any, student: Any) -> list[str]:
    tied = value_of(student, TIED) or value_of(student, "share_all_embeddings")
    bare = value_of(student, "decoder_normalize_before") and value_of(student, NO_NORM)
    widths = {int(value_of(cfg, "decoder_embed_dim")) for cfg in (teacher, student)}
    problems = []
    if tied and bare and len(widths) > 1 and not value_of(teacher, "no_scale_embedding"):
        problems.append(
            "--no-decoder-final-norm: expected a student as wide as the teacher, or an output "
            "layer of its own: there is no LayerNorm that could undo the scale of tied embeddings"
        )
    return problems + [
        f"--{key.replace('_', '-')}: expected "
        f"{_own(teacher, key) or value_of(student, 'decoder_embed_dim')}, as the teacher's is "
        f"{'a width of its own' if _own(teacher, key) else 'that of its layers'}, "
        f"found {value_of(student, key)}"
        for key in _TABLES.values()
        if _own(teacher, key) != _own(student, key)
    ]


def _function_problems(teacher: Any, student: Any) -> list[str]:
    values = {n: [value_of(cfg, n) or False for cfg in (teacher, student)] for n in FUNCTION}
    problems = [
        f"--{name.replace('_', '-')}: expected the teacher's {theirs}, found {ours}"
        for name, (theirs, ours) in values.items()
        if theirs != ours
    ]
    for side in ("encoder", "decoder"):
        if value_of(teacher, f"{side}_learned_pos") and not value_of(
            student, f"{side}_learned_pos"
        ):
            problems.append(f"--{side}-learned-pos: expected: the teacher's positions are learned")
        if value_of(student, f"{side}_layers_to_keep"):
            problems.append(f"--{side}-layers-to-keep: expected none; --layers chooses the layers")
    return problems


def _pairs(flag: str, spec: str, n_student: int, n_teacher: int) -> Pairs:
    """`layer_pairs` of every student layer, for which teacher layers alone (`1,3,5`) do."""
    if re.fullmatch(r"\d+(,\d+)*", spec):
        chosen = spec.split(",")
        if len(chosen) != n_student:
            raise ValueError(
                f"{flag} {spec!r}: expected {n_student} teacher layers, one a student layer, "
                f"found {len(chosen)}"
            )
        pairs = ",".join(f"{i}:{layer}" for i, layer in enumerate(chosen, start=1))
        return layer_pairs(pairs, n_student, n_teacher, f"{flag} {spec!r} as")
    if spec not in ("first", "last", "uniform"):
        raise ValueError(
            f"{flag} {spec!r}: expected first, last, uniform or teacher layers as 1,3,5 (counted "
            "from 1)"
        )
    return layer_pairs(spec, n_student, n_teacher, flag)
