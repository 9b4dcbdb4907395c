"""Which --kd-* flags are refused, and why: all problems in one error, before any work."""

import math
from collections.abc import Collection

from ..losses import features
from ..losses.divergences import DIVERGENCES
from ..losses.intermediate import KINDS
from ..losses.schedules import TEMPERATURE_SCHEDULES
from ..models.activations import SIDES
from ..teachers.cache.tail import TAILS
from .config import DistillationConfig, divergence, intermediate_weights, names


def check_config(cfg: DistillationConfig) -> None:
    """Raises one ValueError that lists every --kd-* value out of range."""
    problems = [*_number_problems(cfg), *_name_problems(cfg), *_divergence_problems(cfg)]
    if cfg.kd_cache is not None:
        problems += _cache_problems(cfg)
    elif cfg.kd_tail != TAILS[0]:
        problems.append(f"--kd-tail {cfg.kd_tail}: only a --kd-cache has a tail")
    if problems:
        raise ValueError("; ".join(problems))


def _number_problems(cfg: DistillationConfig) -> list[str]:
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
    return problems


def _name_problems(cfg: DistillationConfig) -> list[str]:
    temperatures = [cfg.kd_temperature_schedule]
    problems = _unknown("--kd-temperature-schedule", temperatures, TEMPERATURE_SCHEDULES)
    problems += _unknown("--kd-hidden-loss", [cfg.kd_hidden_loss], features.HIDDEN)
    problems += _unknown("--kd-attention-loss", [cfg.kd_attention_loss], features.ATTENTION)
    problems += _unknown("--kd-relation", names(cfg.kd_relation), features.RELATIONS)
    problems += _unknown("--kd-sides", names(cfg.kd_sides), SIDES)
    problems += _unknown("--kd-divergence", [cfg.kd_divergence], DIVERGENCES)
    return problems + _unknown("--kd-tail", [cfg.kd_tail], TAILS)


def _divergence_problems(cfg: DistillationConfig) -> list[str]:
    problems = []
    if not 0 <= cfg.kd_beta <= 1:
        problems.append(f"--kd-beta {cfg.kd_beta}: expected a number from 0 to 1")
    if cfg.kd_beta != DistillationConfig.kd_beta and cfg.kd_divergence != "jsd":
        problems.append(f"--kd-beta {cfg.kd_beta}: only --kd-divergence jsd has a beta")
    if cfg.kd_divergence != "forward_kl" and getattr(cfg, "regression_target", False) is True:
        problems.append(
            f"--kd-divergence {cfg.kd_divergence}: a regression has no probabilities, its soft "
            "loss is a squared difference"
        )
    return problems


def _cache_problems(cfg: DistillationConfig) -> list[str]:
    """What needs more of a teacher than its stored probabilities."""
    problems = []
    given = f"--kd-cache {cfg.kd_cache}:"
    if cfg.kd_teacher is not None:
        problems.append(f"{given} there is --kd-teacher {cfg.kd_teacher} as well; give one of them")
    if cfg.kd_temperature_schedule != "constant":
        problems.append(
            f"{given} --kd-temperature-schedule {cfg.kd_temperature_schedule} needs the logits of "
            "a --kd-teacher; use constant"
        )
    for kind in intermediate_weights(cfg):
        problems.append(f"{given} --kd-{kind}-weight needs the layers of a --kd-teacher")
    if cfg.kd_tail == "drop" and not divergence(cfg).finite_at_zero:
        problems.append(
            f"{given} --kd-tail drop with reverse KL is infinite (the teacher gives all other "
            "symbols probability 0); use ghost or uniform"
        )
    return problems


def _unknown(flag: str, found: list[str], known: Collection[str]) -> list[str]:
    wrong = ", ".join(name for name in found if name not in known)
    expected = f"expected some of {', '.join(known)}"
    if not found and flag != "--kd-sides":  # no side named means every side
        return [f"{flag}: {expected}; found nothing"]
    return [f"{flag} {wrong}: unknown, {expected}"] if wrong else []
