"""The tensors of a student that lies inside its teacher: chosen layers, chosen dimensions.

Narrowing keeps the function where it can. Attention divides by the root of a head's dimensions, and
fairseq multiplies embeddings by the root of the width: query projections and embeddings are
rescaled to undo the change of both. Where the embeddings are also the output layer, the gain and
bias of the LayerNorm in front of it (which nothing else reads) are divided by the same number. A
dimension that the teacher does not use can then be left out without a trace; what LayerNorm makes
of a mean and variance over fewer dimensions cannot be repaired.
"""

import re
from collections.abc import Mapping

import torch
from fairseq.modules import SinusoidalPositionalEmbedding
from torch import Tensor, nn

from .sizes import Layout
from .width import group_scores, groups_of, narrowed, select

_LAYER = re.compile(r"((?:encoder|decoder)\.(?:sentence_encoder\.)?layers\.)(\d+)(\..+)")
_POSITIONS = "embed_positions.weight"


def teacher_name(name: str, layout: Layout) -> str:
    """The teacher's name of what becomes the student's parameter `name`: another layer number."""
    found = _LAYER.fullmatch(name)
    if found is None:
        return name
    pairs = dict(layout.layers[name.split(".")[0]])
    return f"{found[1]}{pairs[int(found[2])]}{found[3]}"


def teacher_tensors(teacher: nn.Module, student: nn.Module) -> dict[str, Tensor]:
    """The teacher's state dict, its sinusoidal positions as a table where the student's is one."""
    tensors = dict(teacher.state_dict())
    modules = dict(teacher.named_modules())
    for name, own in student.state_dict().items():
        module = modules.get(name.removesuffix(".weight"))
        if name.endswith(_POSITIONS) and isinstance(module, SinusoidalPositionalEmbedding):
            tensors[name] = module.get_embedding(len(own), module.embedding_dim, module.padding_idx)
    return tensors


def transfer(
    tensors: Mapping[str, Tensor],
    student: nn.Module,
    layout: Layout,
    measure: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The state dict of the student.

    Args:
        tensors: the teacher's, see `teacher_tensors`.
        student: the model built; its values are not used.
        layout: sizes and layer maps.
        measure: what decides on dimensions: non-negative tensors by the teacher's names.
    Raises:
        ValueError: lists every tensor that has no counterpart, another size that is not a width, or
            that is tied in the student only.
    """
    names = _names(tensors, student, layout)
    kept = select(group_scores(measure, names.items(), layout), layout)
    return transfer_kept(tensors, student, layout, kept)


def transfer_kept(
    tensors: Mapping[str, Tensor],
    student: nn.Module,
    layout: Layout,
    kept: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """As `transfer`, where it is known which members of each group are `kept` (ascending)."""
    own = student.state_dict(keep_vars=True)
    names = _names(tensors, student, layout)
    problems, found = [], {}
    for name, value in own.items():
        try:
            found[name] = _fitted(name, tensors[names[name]], value.shape, (layout, kept))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError(_listed(problems))
    return _rescaled(_check_ties(found, own), own, layout)


def _names(tensors: Mapping[str, Tensor], student: nn.Module, layout: Layout) -> dict[str, str]:
    """The teacher's name of each of the student's parameters; lists those without a counterpart."""
    names = {name: teacher_name(name, layout) for name in student.state_dict()}
    problems = [
        f"{name}: the teacher has no {theirs}"
        for name, theirs in names.items()
        if theirs not in tensors
    ]
    used = set(names.values())
    problems += [
        f"{theirs}: the student has no place for it"
        for theirs in tensors
        if theirs not in used and not _is_dropped(theirs, layout)
    ]
    if problems:
        raise ValueError(_listed(problems))
    return names


def _is_dropped(name: str, layout: Layout) -> bool:
    """Whether a teacher's parameter belongs to a layer that the student does not take."""
    found = _LAYER.fullmatch(name)
    taken = layout.layers[name.split(".")[0]] if found else ()
    return found is not None and int(found[2]) not in {theirs for _, theirs in taken}


def _listed(problems: list[str]) -> str:
    return f"--teacher and --arch do not fit: {'; '.join(problems)}"


def _fitted(
    name: str, value: Tensor, shape: torch.Size, choice: tuple[Layout, Mapping[str, Tensor]]
) -> Tensor:
    layout, kept = choice
    groups = groups_of(name, layout.shared, layout.projected)
    if name.endswith(_POSITIONS) and len(value) >= shape[0]:
        value = value[: shape[0]]
    if groups is not None:
        sizes = {group: len(kept[group]) for group in groups if group in kept}
        wanted = tuple(sizes.get(group, n) for group, n in zip(groups, value.shape, strict=True))
        if wanted == tuple(shape):
            return narrowed(value, groups, kept)
    if value.shape == shape:
        return value
    raise ValueError(
        f"{name} is {tuple(value.shape)} in the teacher and {tuple(shape)} in the student"
    )


def _check_ties(found: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    problems = [
        f"the student ties {first} and {name}, which differ in the teacher"
        for first, *others in _tied(own)
        for name in others
        if not torch.equal(found[first], found[name])
    ]
    if problems:
        raise ValueError(_listed(problems))
    return found


def _tied(own: Mapping[str, Tensor]) -> list[list[str]]:
    """Names that are one parameter, together."""
    names: dict[int, list[str]] = {}
    for name, value in own.items():
        names.setdefault(id(value), []).append(name)
    return list(names.values())


def _rescaled(
    found: dict[str, Tensor], own: Mapping[str, Tensor], layout: Layout
) -> dict[str, Tensor]:
    factors: dict[str, float] = {}
    for together in _tied(own):
        tables = [name for name in together if name.endswith("embed_tokens.weight")]
        if not tables:
            continue
        scale = layout.scales[tables[0].split(".")[0]]
        factors |= dict.fromkeys(together, scale)
        if len(tables) < len(together):
            norm = _last_norm(together, found, layout)
            factors |= {f"{norm}.{kind}": 1 / scale for kind in ("weight", "bias")}
    for name in found:
        side = name.split(".")[0]
        if re.search(r"_attn\.q_proj\.(weight|bias)$", name):
            factors[name] = (layout.student[side].head_dim / layout.teacher[side].head_dim) ** 0.5
    return {
        name: value * factors[name] if factors.get(name, 1.0) != 1.0 else value.clone()
        for name, value in found.items()
    }


def _last_norm(together: list[str], found: Mapping[str, Tensor], layout: Layout) -> str:
    """The LayerNorm in front of an output layer that is tied to embeddings."""
    if "encoder.lm_head.weight" in together:
        return "encoder.lm_head.layer_norm"
    if "decoder.layer_norm.weight" in found:
        return "decoder.layer_norm"
    return f"decoder.layers.{layout.student['decoder'].layers - 1}.final_layer_norm"
