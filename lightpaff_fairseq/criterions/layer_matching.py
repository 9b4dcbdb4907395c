"""Which layers of which sides are matched: what the --kd-* flags mean for two given models."""

from torch import nn

from ..losses import features, layer_map
from ..losses.intermediate import IntermediateSettings, Pairs
from ..losses.layers import LayerStack
from ..models.activations import SIDES, check_attentions, check_recordable, layer_stacks
from .config import DistillationConfig, intermediate_weights, names


def intermediate_settings(
    cfg: DistillationConfig, student: nn.Module, teacher: nn.Module
) -> IntermediateSettings:
    """What the flags mean for two models.

    Raises:
        ValueError: lists every flag that does not fit the models.
    """
    ours, theirs = layer_stacks(student), layer_stacks(teacher)
    sides = names(cfg.kd_sides) or list(ours)
    has = f"the student has only {', '.join(ours)}, the teacher {', '.join(theirs)}"
    problems = [
        f"--kd-sides {side}: {has}" for side in sides if side not in ours or side not in theirs
    ]
    if cfg.kd_decoder_layer_map and set(ours) != set(SIDES):
        problems.append(
            f"--kd-decoder-layer-map {cfg.kd_decoder_layer_map}: only for a model with encoder and "
            f"decoder; this one has {', '.join(ours)}"
        )
    others = [kind for kind in intermediate_weights(cfg) if kind != "attention"]
    if others and set(sides) == {"cross"}:
        problems.append(
            f"--kd-sides cross: has attentions only, nothing for --kd-{others[0]}-weight"
        )
    if problems:
        raise ValueError("; ".join(problems))
    settings = IntermediateSettings(
        weights=intermediate_weights(cfg),
        hidden_loss=cfg.kd_hidden_loss,
        attention_loss=cfg.kd_attention_loss,
        relations=tuple(names(cfg.kd_relation)),
        relation_heads=cfg.kd_relation_heads,
        pairs={side: _pairs(cfg, side, ours[side], theirs[side]) for side in sides},
    )
    problems = [
        x for side in sides for x in _head_problems(settings, side, ours[side], theirs[side])
    ]
    if problems:
        raise ValueError("; ".join(problems))
    check_recordable(student, settings.with_attention)
    if settings.with_attention:
        check_attentions(student, "--arch")
        check_attentions(teacher, f"--kd-teacher {cfg.kd_teacher}")
    return settings


def _pairs(cfg: DistillationConfig, side: str, student: LayerStack, teacher: LayerStack) -> Pairs:
    own = side != "encoder" and cfg.kd_decoder_layer_map is not None
    flag = "--kd-decoder-layer-map" if own else "--kd-layer-map"
    spec = cfg.kd_decoder_layer_map if own else cfg.kd_layer_map
    return layer_map.layer_pairs(str(spec), len(student.layers), len(teacher.layers), flag)


def _head_problems(
    settings: IntermediateSettings, side: str, student: LayerStack, teacher: LayerStack
) -> list[str]:
    problems = []
    heads = f"{side}: the student has {student.heads} heads, the teacher {teacher.heads}"
    per_head = settings.attention_loss in features.PER_HEAD
    if "attention" in settings.weights and per_head and student.heads != teacher.heads:
        problems.append(
            f"--kd-attention-loss {settings.attention_loss} compares head by head; {heads}; "
            "use mse_sum or ce_mean"
        )
    count = settings.relation_heads
    wrong = [width for width in (student.width, teacher.width) if count and width % count]
    if "relation" in settings.weights and wrong:
        problems.append(f"--kd-relation-heads {count}: does not divide {side} width {wrong[0]}")
    return problems
