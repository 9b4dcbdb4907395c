"""The --kd-* flags, the same for every criterion, and what follows from them."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Dict, List, Optional

from fairseq.dataclass import FairseqDataclass

from ..distill import features, layer_map
from ..distill.knowledge import KINDS
from ..distill.record import SIDES
from ..distill.schedule import TEMPERATURE_SCHEDULES, WeightSchedule, check_weight_schedule


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
        metadata={"help": f"matched layers: {layer_map.HELP}"},
    )
    kd_decoder_layer_map: Optional[str] = field(
        default=None,
        metadata={"help": "as --kd-layer-map, for the decoder of a model that has both sides"},
    )
    kd_schedule: Optional[str] = field(
        default=None,
        metadata={
            "help": "weights that change with the updates, as lambda:linear_decay,hidden:cosine; "
            "names: lambda and the kinds of knowledge; schedules: constant, linear_growth, "
            "linear_decay, cosine (which decays); default: all constant"
        },
    )
    kd_schedule_updates: int = field(
        default=0,
        metadata={"help": "updates that the changes of --kd-schedule take, from the first one"},
    )
    kd_temperature_schedule: str = field(
        default="constant",
        metadata={
            "help": "constant; or a temperature a position, lower where it is harder: flsw "
            "(student and teacher disagree), cwsm (the student is unsure); these take the dense "
            "loss"
        },
    )
    kd_temperature_beta: float = field(
        default=1.0, metadata={"help": "strength of flsw and cwsm, 0 or more; 0 = constant"}
    )
    kd_temperature_gamma: float = field(default=1.0, metadata={"help": "exponent of flsw, above 0"})


def weight_schedules(cfg: DistillationConfig) -> Dict[str, WeightSchedule]:
    """`lambda` and every kind of knowledge, as functions of the update number.

    Raises:
        ValueError: --kd-schedule or --kd-schedule-updates is malformed.
    """
    named = {}
    for part in names(cfg.kd_schedule):
        name, colon, schedule = part.partition(":")
        if name not in ("lambda", *KINDS) or not colon:
            raise ValueError(
                f"--kd-schedule {part}: expected NAME:SCHEDULE, NAME one of lambda, "
                f"{', '.join(KINDS)}"
            )
        named[name] = schedule
    full = {"lambda": float(cfg.kd_lambda), **knowledge_weights(cfg)}
    found = {
        name: WeightSchedule(weight, named.get(name, "constant"), cfg.kd_schedule_updates)
        for name, weight in full.items()
    }
    for name, schedule in named.items():
        if not full.get(name):
            raise ValueError(f"--kd-schedule {name}:{schedule}: the weight of {name} is 0")
    for weight in found.values():
        check_weight_schedule(weight, "--kd-schedule", "--kd-schedule-updates")
    if cfg.kd_schedule_updates and not named:
        raise ValueError(f"--kd-schedule-updates {cfg.kd_schedule_updates}: no --kd-schedule given")
    return found


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
    if not (cfg.kd_temperature_beta >= 0 and math.isfinite(cfg.kd_temperature_beta)):
        problems.append(f"--kd-temperature-beta {cfg.kd_temperature_beta}: expected 0 or more")
    if not (cfg.kd_temperature_gamma > 0 and math.isfinite(cfg.kd_temperature_gamma)):
        problems.append(f"--kd-temperature-gamma {cfg.kd_temperature_gamma}: expected above 0")
    temperatures = [cfg.kd_temperature_schedule]
    problems += _unknown("--kd-temperature-schedule", temperatures, TEMPERATURE_SCHEDULES)
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
