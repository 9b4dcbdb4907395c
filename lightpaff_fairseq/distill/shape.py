"""The student's shape: layers from the teacher's, the width from the number of parameters."""

import copy
import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode

from ..checkpoints.building import build, dummy_task, writable
from ..pruning.sizes import DEEPER, Sizes, plan_layout, sizes_in
from ..pruning.student_config import check_arch, parse_student
from .section_flags import model_flags
from .settings import DistillSettings, parameters
from .teacher_info import TeacherInfo

TIMES_SMALLER = 5.0
TOLERANCE = 0.1  # below the target number of parameters; never above it
UNIT = 4  # widths are multiples of it, and of the number of heads
MOST_FFN = 2**12  # units of `UNIT`, on top
PROJECTIONS = ("decoder_input_dim", "decoder_output_dim")


@dataclass(frozen=True)
class Shape:
    """A student.

    Attributes:
        flags: `--arch` and its model flags, as words.
        params: number of parameters, tied ones once; `table`: those of embeddings and the output
            layer.
        sizes: of encoder, decoder or both.
    """

    flags: tuple[str, ...]
    params: int
    table: int
    sizes: Mapping[str, Sizes]

    @property
    def width(self) -> int:
        """The width, the smaller one of encoder and decoder."""
        return min(sizes.width for sizes in self.sizes.values())

    @property
    def layers(self) -> str:
        """The layers and widths, as `3+1 layers x 96`."""
        sizes = list(self.sizes.values())
        widths = sorted({x.width for x in sizes})
        counts = "+".join(str(x.layers) for x in sizes)
        return f"{counts} layers x {'/'.join(str(x) for x in widths)}"


def choose_shape(settings: DistillSettings, teacher: TeacherInfo) -> Shape:
    """Return the student: that of `--arch`, or the widest one of the target size.

    Raises:
        ValueError: fairseq refuses `--arch`, or no width reaches the target within `TOLERANCE`.
    """
    if settings.arch is not None:
        arch, *flags = shlex.split(settings.arch)
        check_arch(arch, teacher.model)
        return measure(teacher, arch, flags, "--arch")
    flag, target = target_size(settings, teacher)
    layers = choose_layers(settings, teacher)
    heads = max(teacher.sizes(side).heads for side in teacher.sides)
    step = math.lcm(heads, UNIT)
    widest = min(teacher.sizes(side).width for side in teacher.sides) // step

    def fits(width: int, ffn: int = 0) -> bool:
        return count(teacher, sizes_for(teacher, layers, width, ffn)) <= target

    units = largest(lambda n: fits(n * step), widest)
    width = max(1, units) * step
    more = largest(lambda n: fits(width, n * UNIT), MOST_FFN) if units else 0
    changed = sizes_for(teacher, layers, width, more * UNIT)
    shape = measure(teacher, *stock_arch(teacher, changed), flag)
    _check_reach(flag, target, units, shape)
    return shape


def _check_reach(flag: str, target: int, units: int, nearest: Shape) -> None:
    if units == 0:
        raise ValueError(
            f"{flag}: expected at least {nearest.params:,} parameters, the smallest student with "
            f"this vocabulary ({nearest.layers}), got {target:,}"
        )
    if nearest.params < target * (1 - TOLERANCE):
        raise ValueError(
            f"{flag}: no student with these layers comes within {TOLERANCE:.0%} of {target:,} "
            f"parameters; the nearest smaller one has {nearest.params:,} ({nearest.layers}); set "
            f"--params {nearest.params}, --encoder-layers, --decoder-layers or --arch"
        )


def target_size(settings: DistillSettings, teacher: TeacherInfo) -> tuple[str, int]:
    """Return the flag that sets the size, and the number of parameters.

    Raises:
        ValueError: it is not smaller than the teacher.
    """
    if settings.params is not None:
        flag, target = f"--params {settings.params}", parameters(settings.params) or 0
    else:
        times = settings.smaller or TIMES_SMALLER
        flag, target = f"--smaller {times:g}", int(teacher.full_params / times)
    if target >= teacher.params:
        raise ValueError(
            f"{flag}: expected fewer than the teacher's {teacher.params:,} parameters, got "
            f"{target:,}"
        )
    return flag, target


def choose_layers(settings: DistillSettings, teacher: TeacherInfo) -> dict[str, int]:
    """Return the number of layers of encoder, decoder or both.

    Raises:
        ValueError: more than the teacher has, or of a module that it does not have.
    """
    chosen: dict[str, int] = {}
    for side in ("encoder", "decoder"):
        given = getattr(settings, f"{side}_layers")
        if side not in teacher.sides:
            if given is not None:
                raise ValueError(f"--{side}-layers {given}: the teacher has no {side}")
            continue
        most = teacher.sizes(side).layers
        if given is not None and given > most:
            flag = f"--{side}-layers {given}"
            raise ValueError(f"{flag}: expected at most the teacher's {most}{DEEPER}")
        chosen[side] = int(given or default_layers(side, most, teacher))
    return chosen


def default_layers(side: str, most: int, teacher: TeacherInfo) -> int:
    """Return the layers that a student keeps: all, but a third of a translation decoder's.

    The encoder runs once per sentence, the decoder once per token.
    """
    is_translation_decoder = side == "decoder" and "encoder" in teacher.sides
    return max(1, round(most / 3)) if is_translation_decoder else most


def sizes_for(
    teacher: TeacherInfo, layers: Mapping[str, int], width: int, more_ffn: int = 0
) -> dict[str, Any]:
    """Return the values of a model section for these layers.

    Args:
        width: of all layers; more_ffn: FFN units on top of the teacher's number per dimension.
    """
    changed: dict[str, Any] = {}
    for side, count in layers.items():
        full = teacher.sizes(side)
        ffn = max(UNIT, round(full.ffn * width / full.width / UNIT) * UNIT) + more_ffn
        changed |= {
            f"{side}_layers": count,
            f"{side}_embed_dim": width,
            f"{side}_ffn_embed_dim": min(ffn, full.ffn),
            f"{side}_attention_heads": full.heads,
        }
    return changed | projections(teacher, width)


def stock_arch(teacher: TeacherInfo, changed: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the student's `--arch` and flags: the teacher's, or `roberta` for a `bert`.

    Args:
        changed: values that replace those of the teacher's model section.
    """
    arch = teacher.arch if teacher.student_family == teacher.family else teacher.student_family
    return arch, model_flags(arch, teacher.model, changed)


def measure(teacher: TeacherInfo, arch: str, flags: list[str], flag: str) -> Shape:
    """Build a student without memory for its weights, and count its parameters.

    Raises:
        ValueError: fairseq refuses the flags, or the student does not fit into the teacher; `flag`
            names where they are from.
    """
    cfg = parse_student(arch, flags, teacher.cfg, str(teacher.cfg.task.data))
    plan_layout(teacher.model, cfg.model, dict.fromkeys(teacher.sides, ("--layers", "uniform")))
    with FakeTensorMode():
        model = build(cfg.model, dummy_task(teacher.tensors, "--teacher"), {}, flag)
    named = dict(model.named_parameters())  # tied ones once
    table = sum(p.numel() for name, p in named.items() if _is_table(name))
    sizes = {side: sizes_in(cfg.model, side) for side in teacher.sides}
    words = ("--arch", arch, *flags)
    return Shape(words, sum(p.numel() for p in named.values()), table, sizes)


def count(teacher: TeacherInfo, changed: Mapping[str, Any]) -> int:
    """Count the parameters of the teacher's model with other values in its model section."""
    section = copy.deepcopy(teacher.model)
    with writable(section):
        for name, value in changed.items():
            setattr(section, name, value)
    with FakeTensorMode():
        model = build(section, dummy_task(teacher.tensors, "--teacher"), {}, "--teacher")
    return sum(p.numel() for p in model.parameters())


def _is_table(name: str) -> bool:
    return name.endswith(("embed_tokens.weight", "output_projection.weight", "lm_head.weight"))


def largest(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest number from 1 to `most` that fits, or 0; smaller ones fit as well."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def projections(teacher: TeacherInfo, width: int) -> dict[str, int]:
    """Return the widths of a decoder's input and output that follow the width of its layers."""
    if "decoder" not in teacher.sides:
        return {}
    full = teacher.sizes("decoder").width
    values = {name: getattr(teacher.model, name, None) for name in PROJECTIONS}
    return {name: width for name, value in values.items() if value and int(value) == full}
