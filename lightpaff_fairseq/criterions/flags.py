"""The --kd-* flags, the same for every criterion, and what follows from them."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Dict, List, Optional

from fairseq.dataclass import FairseqDataclass
from torch import nn

from ..distill import features
from ..distill.knowledge import KINDS, KnowledgeSettings
from ..distill.layer_map import layer_pairs
from ..distill.record import SIDES, Stack, check_recordable, stacks


@dataclass
class DistillationConfig(FairseqDataclass):
    """The --kd-* flags."""

    kd_teacher: Optional[str] = field(
        default=None,
        metadata={"help": "fairseq checkpoint of the teacher; needed unless every weight is 0"},
    )
    kd_teacher_data: Optional[str] = field(
        default=None,
        metadata={
            "help": "folder with the teacher's dictionaries, to compare them with the student's "
            "(default: the folder the teacher was trained on)"
        },
    )
    kd_lambda: float = field(
        default=0.5,
        metadata={
            "help": "weight of the soft loss, 0 to 1; the label loss gets the rest; 0 = off, "
            "1 = labels are not used"
        },
    )
    kd_temperature: float = field(
        default=1.0,
        metadata={"help": "divides the logits of both models in the soft loss, > 0; 1 = off"},
    )
    kd_chunk_tokens: int = field(
        default=256,
        metadata={
            "help": "predicted positions that the fused loss handles at a time: memory grows "
            "with it, the result does not change"
        },
    )
    kd_embedding_weight: float = field(
        default=0.0,
        metadata={"help": "weight of the embeddings' mean squared difference; 0 = off"},
    )
    kd_hidden_weight: float = field(
        default=0.0,
        metadata={"help": "weight of the difference of matched layers' hidden states; 0 = off"},
    )
    kd_hidden_loss: str = field(
        default="mse",
        metadata={"help": "difference of hidden states: mse, cosine, or pkd (first token)"},
    )
    kd_attention_weight: float = field(
        default=0.0,
        metadata={"help": "weight of the difference of matched layers' attentions; 0 = off"},
    )
    kd_attention_loss: str = field(
        default="mse",
        metadata={
            "help": "difference of attentions: mse (scores) or ce (probabilities), head by head; "
            "mse_sum, ce_mean: over heads together, for models with unequal numbers of heads"
        },
    )
    kd_relation_weight: float = field(
        default=0.0,
        metadata={"help": "weight of the difference of matched layers' relations; 0 = off"},
    )
    kd_relation: str = field(
        default="query,key,value",
        metadata={"help": "relations, some of query, key, value, token, channel"},
    )
    kd_relation_heads: int = field(
        default=0,
        metadata={
            "help": "heads into which queries, keys and values are regrouped for their relations; "
            "0 = the models' common number, else its greatest common divisor"
        },
    )
    kd_sides: Optional[str] = field(
        default=None,
        metadata={
            "help": "where knowledge is matched, some of encoder, decoder, cross (attentions "
            "between the two); default: wherever the model has layers"
        },
    )
    kd_layer_map: str = field(
        default="uniform",
        metadata={
            "help": "matched layers: first, last, uniform, firstK, lastK, or pairs student:teacher "
            "as 1:3,2:6"
        },
    )
    kd_decoder_layer_map: Optional[str] = field(
        default=None,
        metadata={"help": "as --kd-layer-map, for the decoder of a model that has both sides"},
    )


def knowledge_weights(cfg: DistillationConfig) -> Dict[str, float]:
    """The kinds of knowledge in use and their weights."""
    found = {kind: float(getattr(cfg, f"kd_{kind}_weight")) for kind in KINDS}
    return {kind: weight for kind, weight in found.items() if weight > 0}


def names(text: Optional[str]) -> List[str]:
    """The parts of a comma-separated flag."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def check_config(cfg: DistillationConfig) -> None:
    """Raises one ValueError that lists every --kd-* value out of range."""
    problems = []
    if not 0 <= cfg.kd_lambda <= 1:
        problems.append(f"--kd-lambda {cfg.kd_lambda}: expected a number from 0 (off) to 1")
    if not (cfg.kd_temperature > 0 and math.isfinite(cfg.kd_temperature)):
        problems.append(f"--kd-temperature {cfg.kd_temperature}: expected a number above 0")
    if cfg.kd_chunk_tokens < 1:
        problems.append(f"--kd-chunk-tokens {cfg.kd_chunk_tokens}: expected 1 or more positions")
    if cfg.kd_relation_heads < 0:
        problems.append(
            f"--kd-relation-heads {cfg.kd_relation_heads}: expected 0 (automatic) or more"
        )
    for kind in KINDS:
        weight = getattr(cfg, f"kd_{kind}_weight")
        if not (weight >= 0 and math.isfinite(weight)):
            problems.append(f"--kd-{kind}-weight {weight}: expected 0 (off) or more")
    problems += _unknown("--kd-hidden-loss", [cfg.kd_hidden_loss], features.HIDDEN)
    problems += _unknown("--kd-attention-loss", [cfg.kd_attention_loss], features.ATTENTION)
    problems += _unknown("--kd-relation", names(cfg.kd_relation), features.RELATIONS)
    problems += _unknown("--kd-sides", names(cfg.kd_sides), SIDES)
    if problems:
        raise ValueError("; ".join(problems))


def _unknown(flag: str, found: List[str], known: Collection[str]) -> List[str]:
    wrong = ", ".join(name for name in found if name not in known)
    expected = f"expected some of {', '.join(known)}"
    if not found and flag != "--kd-sides":  # no side named means every side
        return [f"{flag}: {expected}; found nothing"]
    return [f"{flag} {wrong}: unknown, {expected}"] if wrong else []


def knowledge_settings(
    cfg: DistillationConfig, student: nn.Module, teacher: nn.Module
) -> KnowledgeSettings:
    """What the flags mean for two models.

    Raises:
        ValueError: lists every flag that does not fit the models.
    """
    ours, theirs = stacks(student), stacks(teacher)
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
    if problems:
        raise ValueError("; ".join(problems))
    settings = KnowledgeSettings(
        weights=knowledge_weights(cfg),
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
    return settings


def _pairs(cfg: DistillationConfig, side: str, student: Stack, teacher: Stack) -> tuple:
    own = side != "encoder" and cfg.kd_decoder_layer_map is not None
    flag = "--kd-decoder-layer-map" if own else "--kd-layer-map"
    spec = cfg.kd_decoder_layer_map if own else cfg.kd_layer_map
    return layer_pairs(str(spec), len(student.layers), len(teacher.layers), flag)


def _head_problems(
    settings: KnowledgeSettings, side: str, student: Stack, teacher: Stack
) -> List[str]:
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
