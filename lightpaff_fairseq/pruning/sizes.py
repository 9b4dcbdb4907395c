"""The layout of a student inside its teacher: sizes and layers, and checks that they fit."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fairseq.models as models

from ..checkpoints.building import Heads, value_of
from ..losses.layer_map import Pairs, layer_pairs
from ..problems import Problems

TIED, NO_NORM = "share_decoder_input_output_embed", "no_decoder_final_norm"
# Sizes -> their names in a model section, behind encoder_ or decoder_.
SIZE_NAMES = {
    "layers": "layers",
    "width": "embed_dim",
    "heads": "attention_heads",
    "ffn": "ffn_embed_dim",
}
# Models between which weights carry over have the same entry; it names their sides.
FAMILIES = {
    "transformer": ("encoder", "decoder"),
    "mass": ("encoder", "decoder"),
    "roberta": ("encoder",),
    "bert": ("encoder",),
    "transformer_lm": ("decoder",),
}
_TABLES = {"embed_tokens": "decoder_input_dim", "output_projection": "decoder_output_dim"}

DEEPER = (
    " (the teacher has no weights for more layers: train the student from random weights, by "
    "fairseq-train without --finetune-from-model)"
)

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
    """The layout of a student inside its teacher; the keys are encoder, decoder or both.

    Attributes:
        teacher, student: sizes.
        layers: (student, teacher) layers, counted from 0, one pair per student layer.
        shared: encoder and decoder share their embeddings, so their hidden dimension is one.
        scales: embedding scale of the teacher / that of the student (1 if not scaled).
        projected: decoder modules of a width of their own, with a projection to or from the hidden
            dimension (`transformer_lm --decoder-input-dim`); it stays as it is.
    """

    teacher: Mapping[str, Sizes]
    student: Mapping[str, Sizes]
    layers: Mapping[str, Pairs]
    shared: bool
    scales: Mapping[str, float]
    projected: frozenset[str] = frozenset()

    def sizes_of(self, side: str) -> tuple[Sizes, Sizes]:
        """Return the sizes of the teacher's and the student's encoder or decoder."""
        return self.teacher[side], self.student[side]

    def narrower_heads(self, heads: Heads) -> Heads:
        """Return the student's classification heads, as fairseq builds them.

        One that is as wide inside as the model stays so.
        """
        if "encoder" not in self.teacher:
            return {}
        teacher, student = self.sizes_of("encoder")
        return {n: (c, student.width if i == teacher.width else i) for n, (c, i) in heads.items()}


def family_of(model_cfg: Any, flag: str) -> str:
    """Return the key in `FAMILIES` of a model section.

    Raises:
        ValueError: it is a model of none; `flag` named it.
    """
    name = str(value_of(model_cfg, "_name") or value_of(model_cfg, "arch"))
    family = str(models.ARCH_MODEL_NAME_REGISTRY.get(name, name))
    if family not in FAMILIES:
        raise ValueError(f"{flag}: expected a model of {', '.join(FAMILIES)}, got {family}")
    return family


def sizes_in(model_cfg: Any, side: str) -> Sizes:
    """Return the sizes of the encoder or decoder in a model section."""
    values = {key: value_of(model_cfg, f"{side}_{name}") for key, name in SIZE_NAMES.items()}
    return Sizes(**{key: int(value) for key, value in values.items()})


def plan_layout(teacher: Any, student: Any, maps: Mapping[str, tuple[str, str]]) -> Layout:
    """Compare two model sections.

    Args:
        teacher, student: model sections of one family, the architecture's defaults filled in.
        maps: (flag, map) of layers, for each of encoder and decoder that the family has.
    Raises:
        ValueError: all at once: the student is wider or deeper than the teacher, its heads do not
            divide, its layers compute something else, or a map does not fit.
    """
    sizes_t, sizes_s = ({s: sizes_in(cfg, s) for s in maps} for cfg in (teacher, student))
    problems = [p for side in maps for p in _size_problems(side, sizes_t[side], sizes_s[side])]
    problems += _function_problems(teacher, student)
    if "decoder" in maps:
        problems += _table_problems(teacher, student)
    layers = {}
    for side, (flag, spec) in maps.items():
        try:
            layers[side] = _pairs(flag, spec, sizes_s[side].layers, sizes_t[side].layers)
        except ValueError as error:
            problems.append(str(error))
    Problems(dict.fromkeys(problems)).raise_if_any()
    scaled = not value_of(teacher, "no_scale_embedding")
    ratios = {side: sizes_t[side].width / sizes_s[side].width for side in maps}
    scales = {side: ratio**0.5 if scaled else 1.0 for side, ratio in ratios.items()}
    shared = any(value_of(cfg, "share_all_embeddings") for cfg in (teacher, student))
    projected = frozenset(
        m for m, key in _TABLES.items() if "decoder" in maps and _own_width(teacher, key)
    )
    return Layout(sizes_t, sizes_s, layers, shared, scales, projected)


def _size_problems(side: str, teacher: Sizes, student: Sizes) -> list[str]:
    problems = []
    for key, name in SIZE_NAMES.items():
        limit, value = getattr(teacher, key), getattr(student, key)
        if not 1 <= value <= limit:
            flag = f"--{side}-{name.replace('_', '-')}"
            problem = f"{flag}: expected from 1 to the teacher's {limit}, got {value}"
            problems.append(f"{problem}{DEEPER if key == 'layers' and value > limit else ''}")
    if problems:
        return problems
    flag = f"--{side}-attention-heads"
    if student.width % student.heads:
        return [f"{flag}: expected a divisor of the width {student.width}, got {student.heads}"]
    if student.head_dim > teacher.head_dim:
        return [
            f"{flag}: expected heads of at most the teacher's {teacher.head_dim} dimensions, got "
            f"{student.heads} heads of {student.head_dim}"
        ]
    return []


def _own_width(cfg: Any, key: str) -> int | None:
    """Return the decoder's width in front of or behind its layers; None where it is theirs."""
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
    for key in _TABLES.values():
        own = _own_width(teacher, key)
        if own != _own_width(student, key):
            problems.append(
                f"--{key.replace('_', '-')}: expected "
                f"{own or value_of(student, 'decoder_embed_dim')}, as the teacher's is "
                f"{'a width of its own' if own else 'that of its layers'}, "
                f"got {value_of(student, key)}"
            )
    return problems


def _function_problems(teacher: Any, student: Any) -> list[str]:
    problems = []
    for name in FUNCTION:
        expected, value = (value_of(cfg, name) or False for cfg in (teacher, student))
        if expected != value:
            flag = f"--{name.replace('_', '-')}"
            problems.append(f"{flag}: expected the teacher's {expected}, got {value}")
    for side in ("encoder", "decoder"):
        learned = f"{side}_learned_pos"
        if value_of(teacher, learned) and not value_of(student, learned):
            problems.append(f"--{side}-learned-pos: expected: the teacher's positions are learned")
        if value_of(student, f"{side}_layers_to_keep"):
            problems.append(f"--{side}-layers-to-keep: expected none; --layers chooses the layers")
    return problems


def _pairs(flag: str, spec: str, n_student: int, n_teacher: int) -> Pairs:
    """Return `layer_pairs` of every student layer, for which teacher layers (`1,3,5`) do too."""
    if re.fullmatch(r"\d+(,\d+)*", spec):
        chosen = spec.split(",")
        if len(chosen) != n_student:
            raise ValueError(
                f"{flag} {spec!r}: expected {n_student} teacher layers, one per student layer, "
                f"got {len(chosen)}"
            )
        pairs = ",".join(f"{i}:{layer}" for i, layer in enumerate(chosen, start=1))
        return layer_pairs(pairs, n_student, n_teacher, f"{flag} {spec!r} as")
    if spec not in ("first", "last", "uniform"):
        raise ValueError(
            f"{flag} {spec!r}: expected first, last, uniform, importance or teacher layers as "
            "1,3,5 (counted from 1)"
        )
    return layer_pairs(spec, n_student, n_teacher, flag)
