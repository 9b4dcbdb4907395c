"""The tensors of a student that lies inside its teacher: chosen layers, chosen dimensions.

Narrowing keeps the function where it can. Attention divides by the root of a head's dimensions, and
fairseq multiplies embeddings by the root of the width: query projections and embeddings are
rescaled to undo the change of both. Where the embeddings are also the output layer, the gain and
bias of the LayerNorm in front of it (which nothing else reads) are divided by the same number. A
dimension that the teacher does not use can then be left out without a trace; what LayerNorm makes
of a mean and variance over fewer dimensions cannot be repaired.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from fairseq.modules import SinusoidalPositionalEmbedding
from torch import Tensor, nn

from ..problems import Problems
from .axes import groups_of, narrowed
from .selection import Units, select_units, unit_sums
from .sizes import Layout

_LAYER = re.compile(r"((?:encoder|decoder)\.(?:sentence_encoder\.)?layers\.)(\d+)(\..+)")
_POSITIONS, _SEGMENTS = "embed_positions.weight", "embed_positions.token_types.weight"
MISFIT = "--teacher and --arch do not fit: "


def teacher_tensors(teacher: nn.Module, student: nn.Module) -> dict[str, Tensor]:
    """Return the teacher's state dict with the tables that the student has.

    Sinusoidal positions become a table if the student has one; the first segment of a `bert` is
    added to the positions if the student, a `roberta`, has no segments.
    """
    tensors = dict(teacher.state_dict())
    modules = dict(teacher.named_modules())
    state = student.state_dict()
    for name in [x for x in tensors if x.endswith(_SEGMENTS) and x not in state]:
        positions = name.replace(_SEGMENTS, _POSITIONS)
        tensors[positions] = tensors[positions] + tensors.pop(name)[0]
    for name, value in state.items():
        module = modules.get(name.removesuffix(".weight"))
        if name.endswith(_POSITIONS) and isinstance(module, SinusoidalPositionalEmbedding):
            dim, padding = module.embedding_dim, module.padding_idx
            tensors[name] = module.get_embedding(len(value), dim, padding)
    return tensors


def choose_units(
    measure: Mapping[str, Tensor], tensors: Iterable[str], student: nn.Module, layout: Layout
) -> Units:
    """Choose the units that a student keeps, by scores of the copied weights.

    Args:
        measure: non-negative tensors by the teacher's parameter names; tied ones only once.
        tensors: names of the teacher's tensors.
        layout: sizes and layer maps.
    Returns:
        bool, `(members,)` per group, named after the student's layers.
    Raises:
        ValueError: lists every tensor that has no counterpart.
    """
    names = {s: t for s, t in _names(tensors, student, layout).items() if t in measure}
    axes = {t: groups_of(s, layout) or () for s, t in names.items()}
    values = {t: measure[t].double() for t in names.values()}
    return select_units(unit_sums(values, axes, {}), layout)


def transfer(
    tensors: Mapping[str, Tensor], student: nn.Module, layout: Layout, kept: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the state dict of the student.

    Args:
        tensors: the teacher's, see `teacher_tensors`.
        student: the model built; its values are not used.
        layout: sizes and layer maps.
        kept: see `choose_units`.
    Raises:
        ValueError: lists every tensor that has no counterpart, another size that is not a width, or
            that is tied in the student only.
    """
    state = student.state_dict(keep_vars=True)
    names = _names(tensors, student, layout)
    problems, values = Problems(), {}
    for name, value in state.items():
        fitted = _fitted(name, tensors[names[name]], value.shape, (layout, kept))
        if fitted.shape == value.shape:
            values[name] = fitted
        else:
            sizes = f"{tuple(fitted.shape)} in the teacher and {tuple(value.shape)} in the student"
            problems.add(f"{name} is {sizes}")
    problems.raise_if_any(MISFIT)
    tied = _tied(state)
    for first, *others in tied:
        for name in others:
            problems.unless(
                torch.equal(values[first], values[name]),
                f"the student ties {first} and {name}, which differ in the teacher",
            )
    problems.raise_if_any(MISFIT)
    factors = _factors(tied, values, layout)
    return {
        name: value * factors[name] if factors.get(name, 1.0) != 1.0 else value.clone()
        for name, value in values.items()
    }


def _names(tensors: Iterable[str], student: nn.Module, layout: Layout) -> dict[str, str]:
    """Return the teacher's name of each of the student's tensors: another layer number.

    Raises:
        ValueError: lists those without a counterpart.
    """
    tensors = set(tensors)
    names = {}
    for name in student.state_dict():
        match = _LAYER.fullmatch(name)
        pairs = dict(layout.layers[name.split(".")[0]]) if match else {}
        names[name] = f"{match[1]}{pairs[int(match[2])]}{match[3]}" if match else name
    problems = Problems()
    for name, teacher_name in names.items():
        problems.unless(teacher_name in tensors, f"{name}: the teacher has no {teacher_name}")
    for name in sorted(tensors - set(names.values())):
        dropped = _is_dropped(name, layout)
        problems.unless(dropped, f"{name}: the student has no place for it")
    problems.raise_if_any(MISFIT)
    return names


def _is_dropped(name: str, layout: Layout) -> bool:
    """Return true if a teacher's tensor belongs to a layer that the student does not have."""
    match = _LAYER.fullmatch(name)
    taken = layout.layers[name.split(".")[0]] if match else ()
    return match is not None and int(match[2]) not in {layer for _, layer in taken}


def _fitted(
    name: str, value: Tensor, shape: torch.Size, choice: tuple[Layout, Mapping[str, Tensor]]
) -> Tensor:
    """Return a teacher's tensor narrowed to `shape` if it can be."""
    layout, kept = choice
    groups = groups_of(name, layout)
    if name.endswith(_POSITIONS) and len(value) >= shape[0]:
        value = value[: shape[0]]
    if groups is not None:
        counts = {group: int(kept[group].sum()) for group in groups if group in kept}
        sizes = [counts.get(group, n) for group, n in zip(groups, value.shape, strict=True)]
        if tuple(sizes) == tuple(shape):
            return narrowed(value, groups, kept)
    return value


def _tied(state: Mapping[str, Tensor]) -> list[list[str]]:
    """Return the names of each parameter, together."""
    names: dict[int, list[str]] = {}
    for name, value in state.items():
        names.setdefault(id(value), []).append(name)
    return list(names.values())


def _factors(
    tied: list[list[str]], values: Mapping[str, Tensor], layout: Layout
) -> dict[str, float]:
    """Return the factors that compensate a change of width in embeddings and attention."""
    factors: dict[str, float] = {}
    for names in tied:
        tables = [name for name in names if name.endswith("embed_tokens.weight")]
        if not tables:
            continue
        scale = layout.scales[tables[0].split(".")[0]]
        factors |= dict.fromkeys(names, scale)
        if len(tables) < len(names):
            norm = _last_norm(names, values, layout)
            factors |= {f"{norm}.{kind}": 1 / scale for kind in ("weight", "bias")}
    for name in values:
        if re.search(r"_attn\.q_proj\.(weight|bias)$", name):
            teacher, student = layout.sizes_of(name.split(".")[0])
            factors[name] = (student.head_dim / teacher.head_dim) ** 0.5
    return factors


def _last_norm(names: list[str], values: Mapping[str, Tensor], layout: Layout) -> str:
    """Return the LayerNorm in front of an output layer that is tied to embeddings."""
    if "encoder.lm_head.weight" in names:
        return "encoder.lm_head.layer_norm"
    if "decoder.layer_norm.weight" in values:
        return "decoder.layer_norm"
    return f"decoder.layers.{layout.student['decoder'].layers - 1}.final_layer_norm"
