"""The --kd-* flags, the same for every criterion, and values that follow from them alone."""

from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Optional, Tuple

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from ..losses import features, layer_map
from ..losses.divergences import DIVERGENCES, Divergence
from ..losses.intermediate import INTERMEDIATE_LOSSES
from ..losses.schedules import TEMPERATURE_SCHEDULES, WeightSchedule, check_weight_schedule
from ..teachers.cache.tail import TAILS

TAIL_CHOICES = ChoiceEnum(list(TAILS))
DIVERGENCE_CHOICES = ChoiceEnum(list(DIVERGENCES))
HIDDEN_LOSS_CHOICES = ChoiceEnum(list(features.HIDDEN))
ATTENTION_LOSS_CHOICES = ChoiceEnum(list(features.ATTENTION))
TEMPERATURE_SCHEDULE_CHOICES = ChoiceEnum(list(TEMPERATURE_SCHEDULES))


@dataclass
class DistillationConfig(FairseqDataclass):
    """The --kd-* flags."""

    kd_teacher: Optional[str] = field(
        default=None,
        metadata={
            "help": "fairseq checkpoint of the teacher; several, separated by colons, teach "
            "the mean of their probabilities; needed unless every weight is 0 or --kd-cache is set"
        },
    )
    kd_teacher_data: Optional[str] = field(
        default=None,
        metadata={
            "help": "folder with the teacher's dictionaries, to compare them with the student's "
            "(default: the folder the teacher was trained on)"
        },
    )
    kd_cache: Optional[str] = field(
        default=None,
        metadata={
            "help": "folder that `lightpaff cache-teacher` wrote: the teacher's probabilities come "
            "from there, and no teacher is loaded"
        },
    )
    kd_tail: TAIL_CHOICES = field(  # type: ignore[valid-type]
        default="ghost",
        metadata={
            "help": "what a --kd-cache of k tokens says of all others: ghost (their mass, as one "
            "outcome), drop (nothing: mass 0), uniform (their mass, spread evenly)"
        },
    )
    kd_lambda: float = field(
        default=0.5,
        metadata={
            "help": "weight of the soft loss, 0 to 1; the task loss gets the rest; 0 = off, "
            "1 = labels are not used"
        },
    )
    kd_temperature: float = field(
        default=1.0,
        metadata={"help": "divides the logits of both models in the soft loss, > 0; 1 = off"},
    )
    kd_divergence: DIVERGENCE_CHOICES = field(  # type: ignore[valid-type]
        default="forward_kl",
        metadata={
            "help": "the soft loss: forward_kl (teacher || student), reverse_kl, jsd (between the "
            "two, see --kd-beta) or tvd (total variation distance)"
        },
    )
    kd_beta: float = field(
        default=0.5,
        metadata={"help": "for --kd-divergence jsd, 0 to 1: 0 = forward_kl, 1 = reverse_kl"},
    )
    kd_chunk_tokens: int = field(
        default=512,
        metadata={
            "help": "predicted positions that the fused loss handles at once: memory grows "
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
    kd_hidden_loss: HIDDEN_LOSS_CHOICES = field(  # type: ignore[valid-type]
        default="mse",
        metadata={"help": "difference of hidden states: mse, cosine, or pkd (first token)"},
    )
    kd_attention_weight: float = field(
        default=0.0,
        metadata={"help": "weight of the difference of matched layers' attentions; 0 = off"},
    )
    kd_attention_loss: ATTENTION_LOSS_CHOICES = field(  # type: ignore[valid-type]
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
    kd_modules: Optional[str] = field(
        default=None,
        metadata={
            "help": "modules whose layers are matched, some of encoder, decoder, cross (attentions "
            "between the two); default: all that the model has"
        },
    )
    kd_sides: Optional[str] = field(default=None)  # the name of --kd-modules in version 0.1
    kd_layer_map: str = field(
        default="uniform",
        metadata={"help": f"matched layers: {layer_map.HELP}"},
    )
    kd_decoder_layer_map: Optional[str] = field(
        default=None,
        metadata={"help": "as --kd-layer-map, for the decoder of an encoder-decoder"},
    )
    kd_schedule: Optional[str] = field(
        default=None,
        metadata={
            "help": "weights that change with the updates, as lambda:linear_decay,hidden:cosine; "
            "names: lambda, embedding, hidden, attention, relation; schedules: constant, "
            "linear_growth, linear_decay, cosine (which decays); default: all constant"
        },
    )
    kd_schedule_updates: int = field(
        default=0,
        metadata={"help": "updates that the changes of --kd-schedule take, from the first one"},
    )
    kd_temperature_schedule: TEMPERATURE_SCHEDULE_CHOICES = field(  # type: ignore[valid-type]
        default="constant",
        metadata={
            "help": "constant, or one temperature per position, lower where it is harder: flsw "
            "(student and teacher disagree), cwsm (the student is unsure); these take the dense "
            "loss"
        },
    )
    kd_temperature_beta: float = field(
        default=1.0, metadata={"help": "strength of flsw and cwsm, 0 or more; 0 = constant"}
    )
    kd_temperature_gamma: float = field(default=1.0, metadata={"help": "exponent of flsw, above 0"})


def weight_schedules(cfg: DistillationConfig) -> Dict[str, WeightSchedule]:
    """Return the weights of `lambda` and of every intermediate loss in use.

    Raises:
        ValueError: --kd-schedule or --kd-schedule-updates is malformed.
    """
    named = dict(_schedule_names(cfg))
    weights = {"lambda": float(cfg.kd_lambda), **intermediate_weights(cfg)}
    for name, schedule in named.items():
        if not weights.get(name):
            raise ValueError(f"--kd-schedule {name}:{schedule}: the weight of {name} is 0")
    if cfg.kd_schedule_updates and not named:
        raise ValueError(f"--kd-schedule-updates {cfg.kd_schedule_updates}: no --kd-schedule given")
    schedules = {
        name: WeightSchedule(weight, named.get(name, "constant"), cfg.kd_schedule_updates)
        for name, weight in weights.items()
    }
    for weight in schedules.values():
        check_weight_schedule(weight, "--kd-schedule", "--kd-schedule-updates")
    return schedules


def _schedule_names(cfg: DistillationConfig) -> Iterator[Tuple[str, str]]:
    for part in split_names(cfg.kd_schedule):
        name, colon, schedule = part.partition(":")
        if name not in ("lambda", *INTERMEDIATE_LOSSES) or not colon:
            raise ValueError(
                f"--kd-schedule {part}: expected NAME:SCHEDULE, NAME one of lambda, "
                f"{', '.join(INTERMEDIATE_LOSSES)}"
            )
        yield name, schedule


def intermediate_weights(cfg: DistillationConfig) -> Dict[str, float]:
    """Return the weights of the intermediate losses in use."""
    weights = {kind: float(getattr(cfg, f"kd_{kind}_weight")) for kind in INTERMEDIATE_LOSSES}
    return {kind: weight for kind, weight in weights.items() if weight > 0}


def split_names(text: Optional[str]) -> List[str]:
    """Split a comma-separated flag."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def divergence(cfg: DistillationConfig) -> Divergence:
    """Return the divergence that the soft loss takes."""
    return Divergence(str(cfg.kd_divergence), float(cfg.kd_beta))
