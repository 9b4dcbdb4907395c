"""The --kd-* flags of all criterions, and values derived from them."""

from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Tuple

from fairseq.dataclass import ChoiceEnum

from ..flags import Range, at_least, flag
from ..losses import features, layer_map
from ..losses.dense import TEMPERATURE_WORDS, TEMPERATURES
from ..losses.divergences import DIVERGENCES, Divergence
from ..losses.intermediate import INTERMEDIATE_LOSSES
from ..losses.kernel_choice import KERNELS
from ..losses.position_selection import Selection, parse_selection
from ..losses.schedules import TEMPERATURE_SCHEDULES, WeightSchedule, check_weight_schedule
from ..teachers.base import TEACHER_DTYPES
from ..teachers.cache.tail import TAILS
from .on_policy_config import OnPolicyConfig

TAIL_CHOICES = ChoiceEnum(list(TAILS))
DIVERGENCE_CHOICES = ChoiceEnum(list(DIVERGENCES))
TEACHER_DTYPE_CHOICES = ChoiceEnum(list(TEACHER_DTYPES))
KERNEL_CHOICES = ChoiceEnum(list(KERNELS))
HIDDEN_LOSS_CHOICES = ChoiceEnum(list(features.HIDDEN))
ATTENTION_LOSS_CHOICES = ChoiceEnum(list(features.ATTENTION))
TEMPERATURE_SCHEDULE_CHOICES = ChoiceEnum(list(TEMPERATURE_SCHEDULES))

WEIGHT = Range("0 (off) or more", 0, 1e6)
WEIGHT_BITS = Range("8, or 0 (off)", 8, 8, also=0)


@dataclass
class DistillationConfig(OnPolicyConfig):
    """The --kd-* flags, and --quantize-weights."""

    kd_teacher: Optional[str] = flag(
        "fairseq checkpoint of the teacher; several, separated by colons, teach the mean of their "
        "probabilities; needed unless every weight is 0 or --kd-cache is set",
        None,
    )
    kd_teacher_data: Optional[str] = flag(
        "folder of the teacher's dictionaries (default: the data of its training run)", None
    )
    kd_teacher_dtype: TEACHER_DTYPE_CHOICES = flag(  # type: ignore[valid-type]
        "precision of the --kd-teacher's weights and activations: auto (as the student, also with "
        "--fp16 and --amp), float32, bfloat16 or float16",
        "auto",
    )
    kd_vocabulary_map: Optional[str] = flag(
        "file of `lightpaff vocabulary-map`, for a teacher with another vocabulary (kd_ss, kd_lm, "
        "kd_clm), which reads the text of the batch, and for its --kd-cache; default: one "
        "vocabulary for both",
        None,
    )
    kd_cache: Optional[str] = flag(
        "output of `lightpaff cache-teacher`, instead of --kd-teacher; for DATA of several folders "
        "one per folder, joined by colons",
        None,
    )
    kd_tail: TAIL_CHOICES = flag(  # type: ignore[valid-type]
        "the tokens that a --kd-cache of top-k tokens lacks: ghost (their mass, as one outcome), "
        "drop (mass 0), uniform (their mass, spread evenly)",
        "ghost",
    )
    kd_lambda: float = flag(
        "weight of the soft loss, 0 (off) to 1 (labels are not used); the task loss gets the rest",
        0.5,
        expected=Range("a number from 0 (off) to 1", 0, 1),
    )
    kd_temperature: float = flag(
        "divides the logits of both models in the soft loss, 0.001 to 1000; 1 = off",
        1.0,
        expected=Range(TEMPERATURE_WORDS, *TEMPERATURES),
    )
    kd_divergence: DIVERGENCE_CHOICES = flag(  # type: ignore[valid-type]
        "the soft loss: forward_kl (teacher || student), reverse_kl, jsd (between the two, see "
        "--kd-beta), tvd (total variation distance), skew_kl or skew_reverse_kl (see --kd-skew)",
        "forward_kl",
    )
    kd_beta: float = flag(
        "for --kd-divergence jsd, 0 to 1: 0 = forward_kl, 1 = reverse_kl",
        0.5,
        expected=Range("a number from 0 to 1", 0, 1),
    )
    kd_skew: float = flag(
        "for --kd-divergence skew_kl, KL(t, a t + (1 - a) s), and skew_reverse_kl, KL(s, (1 - a) t "
        "+ a s), of teacher t and student s: a, from 0 (off: the plain KL) to below 1",
        0.1,
        expected=Range("a number from 0 (off) up to 0.999999", 0, 1 - 1e-6),
    )
    kd_select: Optional[str] = flag(
        "soft loss at a share of the positions of every batch, as student_entropy:0.2: those with "
        "the largest student_entropy, teacher_entropy, reverse_kl, cross_entropy, confident_wrong "
        "(the student prefers another token to the label) or random; the task loss everywhere; "
        "default: at all positions",
        None,
    )
    kd_kernel: KERNEL_CHOICES = flag(  # type: ignore[valid-type]
        "what computes the fused loss: triton (one kernel per chunk, on CUDA), torch, or auto "
        "(triton where it runs)",
        "auto",
    )
    kd_chunk_tokens: int = flag(
        "positions per chunk of the fused loss: affects memory, not the result",
        512,
        expected=Range("1 or more positions", 1),
    )
    kd_output_weight: float = flag(
        "weight of the losses of the output, task loss and soft loss together; 0 = intermediate "
        "losses alone, as in the first phase of TinyBERT",
        1.0,
        expected=WEIGHT,
    )
    kd_embedding_weight: float = flag(
        "weight of the embeddings' mean squared difference; 0 = off", 0.0, expected=WEIGHT
    )
    kd_hidden_weight: float = flag(
        "weight of the difference of matched layers' hidden states; 0 = off", 0.0, expected=WEIGHT
    )
    kd_hidden_loss: HIDDEN_LOSS_CHOICES = flag(  # type: ignore[valid-type]
        "difference of hidden states: mse, cosine, or pkd (first token)", "mse"
    )
    kd_attention_weight: float = flag(
        "weight of the difference of matched layers' attentions; 0 = off", 0.0, expected=WEIGHT
    )
    kd_attention_loss: ATTENTION_LOSS_CHOICES = flag(  # type: ignore[valid-type]
        "difference of attentions: mse (scores) or ce (probabilities), head by head; mse_sum, "
        "ce_mean: over heads together, for models with unequal numbers of heads",
        "mse",
    )
    kd_relation_weight: float = flag(
        "weight of the difference of matched layers' relations; 0 = off", 0.0, expected=WEIGHT
    )
    kd_relation: str = flag(
        "relations, some of query, key, value, token, channel", "query,key,value"
    )
    kd_relation_heads: int = flag(
        "heads of the relations of queries, keys, values; 0 = the models' greatest common divisor",
        0,
        expected=Range("0 (automatic) or more", 0, 1000),
    )
    kd_modules: Optional[str] = flag(
        "modules whose layers are matched, some of encoder, decoder, cross (attentions between "
        "the two); default: all modules of the model",
        None,
    )
    kd_sides: Optional[str] = None  # --kd-modules in version 0.1
    kd_layer_map: str = flag(f"matched layers: {layer_map.HELP}", "uniform")
    kd_decoder_layer_map: Optional[str] = flag(
        "as --kd-layer-map, for the decoder of an encoder-decoder", None
    )
    kd_schedule: Optional[str] = flag(
        "schedules of weights over updates, as lambda:linear_decay,hidden:cosine; names: lambda, "
        "embedding, hidden, attention, relation; schedules: constant, linear_growth, "
        "linear_decay, cosine (decays); default: all constant",
        None,
    )
    kd_schedule_updates: int = flag(
        "length of --kd-schedule in updates, from the beginning of training",
        0,
        expected=at_least(0),
    )
    kd_temperature_schedule: TEMPERATURE_SCHEDULE_CHOICES = flag(  # type: ignore[valid-type]
        "constant, or one temperature per position, lower at harder positions: flsw (student and "
        "teacher disagree), cwsm (the student is unsure); both use the dense loss",
        "constant",
    )
    kd_temperature_beta: float = flag(
        "strength of flsw and cwsm, 0 to 1000; 0 = constant",
        1.0,
        expected=Range("0 (off) or more", 0, 1000),
    )
    kd_temperature_gamma: float = flag(
        "exponent of flsw, above 0, up to 100",
        1.0,
        expected=Range("a number above 0", 0, 100, is_open=True),
    )
    quantize_weights: int = flag(
        "8: run the student, in training and validation, with the weights that CTranslate2 serves "
        "in int8; the checkpoint keeps the float weights; 0 = off",
        0,
        expected=WEIGHT_BITS,
    )


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
        raise ValueError(f"--kd-schedule-updates {cfg.kd_schedule_updates}: expected --kd-schedule")
    schedules = {
        name: WeightSchedule(weight, named.get(name, "constant"), cfg.kd_schedule_updates)
        for name, weight in weights.items()
    }
    for weight in schedules.values():
        check_weight_schedule(weight, "--kd-schedule", "--kd-schedule-updates")
    return schedules


def _schedule_names(cfg: DistillationConfig) -> Iterator[Tuple[str, str]]:
    names: List[str] = []
    for part in split_names(cfg.kd_schedule):
        name, colon, schedule = part.partition(":")
        if name not in ("lambda", *INTERMEDIATE_LOSSES) or not colon:
            raise ValueError(
                f"--kd-schedule {part}: expected NAME:SCHEDULE, NAME one of lambda, "
                f"{', '.join(INTERMEDIATE_LOSSES)}"
            )
        names.append(name)
        if names.count(name) > 1:
            raise ValueError(f"--kd-schedule {cfg.kd_schedule}: {name} has two schedules")
        yield name, schedule


def intermediate_weights(cfg: DistillationConfig) -> Dict[str, float]:
    """Return the weights of the intermediate losses in use."""
    weights = {kind: float(getattr(cfg, f"kd_{kind}_weight")) for kind in INTERMEDIATE_LOSSES}
    return {kind: weight for kind, weight in weights.items() if weight > 0}


def split_names(text: Optional[str]) -> List[str]:
    """Split a comma-separated flag."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def divergence(cfg: DistillationConfig) -> Divergence:
    """Return the divergence of the soft loss."""
    return Divergence(str(cfg.kd_divergence), float(cfg.kd_beta), float(cfg.kd_skew))


def selection(cfg: DistillationConfig) -> Optional[Selection]:
    """Return the choice of positions, None for all.

    Raises:
        ValueError: --kd-select is malformed.
    """
    return None if cfg.kd_select is None else parse_selection(str(cfg.kd_select))
