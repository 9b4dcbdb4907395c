"""Match the layers of two models by the --kd-* flags."""

from collections.abc import Iterator, Mapping

from torch import nn

from ..losses import features
from ..losses.intermediate import IntermediateLosses, IntermediateSettings
from ..losses.layer_map import Pairs, layer_pairs
from ..losses.layers import LayerStack
from ..models.activations import MODULES, check_attentions, check_recordable, layer_stacks
from ..problems import Problems
from .config import DistillationConfig, intermediate_weights, split_names

Stacks = Mapping[str, LayerStack]  # by module


def match_layers(
    cfg: DistillationConfig, student: nn.Module, teacher: nn.Module
) -> IntermediateLosses:
    """Build the intermediate losses of the --kd-* flags.

    Raises:
        ValueError: lists every flag that does not fit the models.
    """
    student_stacks, teacher_stacks = layer_stacks(student), layer_stacks(teacher)
    modules = split_names(cfg.kd_modules or cfg.kd_sides) or list(student_stacks)
    Problems(_module_problems(cfg, modules, student_stacks, teacher_stacks)).raise_if_any()
    settings = IntermediateSettings(
        weights=intermediate_weights(cfg),
        hidden_loss=str(cfg.kd_hidden_loss),
        attention_loss=str(cfg.kd_attention_loss),
        relations=tuple(split_names(cfg.kd_relation)),
        relation_heads=cfg.kd_relation_heads,
        pairs={x: _pairs(cfg, x, student_stacks[x], teacher_stacks[x]) for x in modules},
    )
    problems = Problems()
    for module in modules:
        stacks = student_stacks[module], teacher_stacks[module]
        problems.extend(_head_problems(settings, module, *stacks))
    problems.raise_if_any()
    check_recordable(student, settings.with_attention)
    if settings.with_attention:
        check_attentions(student, "--arch")
        check_attentions(teacher, f"--kd-teacher {cfg.kd_teacher}")
    return IntermediateLosses(settings, student_stacks, teacher_stacks)


def _module_problems(
    cfg: DistillationConfig, modules: list[str], student: Stacks, teacher: Stacks
) -> Iterator[str]:
    present = f"the student has only {', '.join(student)}, the teacher {', '.join(teacher)}"
    for module in modules:
        if module not in student or module not in teacher:
            yield f"--kd-modules {module}: {present}"
    if cfg.kd_decoder_layer_map and set(student) != set(MODULES):
        yield (
            f"--kd-decoder-layer-map {cfg.kd_decoder_layer_map}: only for a model with encoder and "
            f"decoder; this one has {', '.join(student)}"
        )
    others = [kind for kind in intermediate_weights(cfg) if kind != "attention"]
    if others and set(modules) == {"cross"}:
        yield f"--kd-modules cross: has attentions only, nothing for --kd-{others[0]}-weight"


def _pairs(cfg: DistillationConfig, module: str, student: LayerStack, teacher: LayerStack) -> Pairs:
    is_own = module != "encoder" and cfg.kd_decoder_layer_map is not None
    flag = "--kd-decoder-layer-map" if is_own else "--kd-layer-map"
    spec = cfg.kd_decoder_layer_map if is_own else cfg.kd_layer_map
    return layer_pairs(str(spec), len(student.layers), len(teacher.layers), flag)


def _head_problems(
    settings: IntermediateSettings, module: str, student: LayerStack, teacher: LayerStack
) -> Iterator[str]:
    per_head = settings.attention_loss in features.PER_HEAD
    if "attention" in settings.weights and per_head and student.heads != teacher.heads:
        yield (
            f"--kd-attention-loss {settings.attention_loss} compares head by head; {module}: the "
            f"student has {student.heads} heads, the teacher {teacher.heads}; use mse_sum or "
            "ce_mean"
        )
    count = settings.relation_heads
    widths = [width for width in (student.width, teacher.width) if count and width % count]
    if "relation" in settings.weights and widths:
        yield f"--kd-relation-heads {count}: does not divide {module} width {widths[0]}"
