"""Refuse --kd-* flags that make no sense: all problems in one error, before any work."""

import enum
import logging
import math
from collections.abc import Collection, Iterator
from dataclasses import fields

from ..losses.divergences import DIVERGENCES
from ..losses.features import RELATIONS
from ..losses.intermediate import INTERMEDIATE_LOSSES
from ..models.activations import MODULES
from ..problems import Problems
from ..teachers.cache.tail import TAILS
from .config import DistillationConfig, divergence, intermediate_weights, split_names

logger = logging.getLogger(__name__)


def check_config(cfg: DistillationConfig) -> None:
    """Check every --kd-* flag.

    Raises:
        ValueError: lists all that are out of range, or do not go together.
    """
    problems = Problems()
    for find in (_choice_problems, _number_problems, _name_problems, _divergence_problems):
        problems.extend(find(cfg))
    problems.extend([*_teacher_problems(cfg), *_cache_problems(cfg)])
    problems.raise_if_any()
    if cfg.kd_sides is not None:
        logger.warning("--kd-sides is now called --kd-modules")


def _choice_problems(cfg: DistillationConfig) -> Iterator[str]:
    """Check what fairseq's parser and hydra check too, for configurations made in Python."""
    for field in fields(DistillationConfig):
        if isinstance(field.type, type) and issubclass(field.type, enum.Enum):
            choices, value = [str(choice) for choice in field.type], str(getattr(cfg, field.name))
            if value not in choices:
                flag = f"--{field.name.replace('_', '-')}"
                yield f"{flag} {value}: expected one of {', '.join(choices)}"


def _number_problems(cfg: DistillationConfig) -> Iterator[str]:
    if not 0 <= cfg.kd_lambda <= 1:
        yield f"--kd-lambda {cfg.kd_lambda}: expected a number from 0 (off) to 1"
    if not 0 <= cfg.kd_beta <= 1:
        yield f"--kd-beta {cfg.kd_beta}: expected a number from 0 to 1"
    for name in ("temperature", "temperature_gamma"):
        value = getattr(cfg, f"kd_{name}")
        if not (value > 0 and math.isfinite(value)):
            yield f"--kd-{name.replace('_', '-')} {value}: expected a number above 0"
    for name in ("temperature_beta", *(f"{kind}_weight" for kind in INTERMEDIATE_LOSSES)):
        value = getattr(cfg, f"kd_{name}")
        if not (value >= 0 and math.isfinite(value)):
            yield f"--kd-{name.replace('_', '-')} {value}: expected 0 (off) or more"
    if cfg.kd_chunk_tokens < 1:
        yield f"--kd-chunk-tokens {cfg.kd_chunk_tokens}: expected 1 or more positions"
    if cfg.kd_relation_heads < 0:
        yield f"--kd-relation-heads {cfg.kd_relation_heads}: expected 0 (automatic) or more"


def _name_problems(cfg: DistillationConfig) -> Iterator[str]:
    if not split_names(cfg.kd_relation):
        yield f"--kd-relation: expected some of {', '.join(RELATIONS)}, got nothing"
    yield from _unknown_names("--kd-relation", cfg.kd_relation, RELATIONS)
    yield from _unknown_names("--kd-modules", cfg.kd_modules, MODULES)
    yield from _unknown_names("--kd-sides", cfg.kd_sides, MODULES)
    if cfg.kd_sides is not None and cfg.kd_modules is not None:
        yield f"--kd-sides {cfg.kd_sides}: the old name of --kd-modules, which is given as well"


def _unknown_names(flag: str, value: str | None, known: Collection[str]) -> Iterator[str]:
    unknown = [name for name in split_names(value) if name not in known]
    if unknown:
        yield f"{flag} {', '.join(unknown)}: expected some of {', '.join(known)}"


def _divergence_problems(cfg: DistillationConfig) -> Iterator[str]:
    if cfg.kd_beta != DistillationConfig.kd_beta and cfg.kd_divergence != "jsd":
        yield f"--kd-beta {cfg.kd_beta}: only --kd-divergence jsd has a beta"
    is_regression = getattr(cfg, "regression_target", False)  # a flag of kd_lu only
    if cfg.kd_divergence != "forward_kl" and is_regression is True:
        yield (
            f"--kd-divergence {cfg.kd_divergence}: a regression has no probabilities, its soft "
            "loss is a squared difference"
        )


def _teacher_problems(cfg: DistillationConfig) -> Iterator[str]:
    """Check what an ensemble cannot teach: it has nothing but a mean of probabilities."""
    count = len((cfg.kd_teacher or "").split(":"))
    if count > 1 and intermediate_weights(cfg):
        yield (
            f"--kd-teacher {cfg.kd_teacher}: --kd-...-weight matches the layers of one teacher, "
            f"got {count}"
        )
    if count > 1 and cfg.kd_temperature_schedule == "flsw":
        yield (
            f"--kd-temperature-schedule flsw compares logits, but {count} teachers have only "
            "the mean of their probabilities; use cwsm or constant"
        )


def _cache_problems(cfg: DistillationConfig) -> Iterator[str]:
    """Check what needs more of a teacher than its stored probabilities."""
    if cfg.kd_cache is None:
        if cfg.kd_tail != TAILS[0]:
            yield f"--kd-tail {cfg.kd_tail}: only a --kd-cache has a tail"
        return
    flag = f"--kd-cache {cfg.kd_cache}:"
    if cfg.kd_teacher is not None:
        yield f"{flag} there is --kd-teacher {cfg.kd_teacher} as well; give one of them"
    if cfg.kd_temperature_schedule != "constant":
        yield (
            f"{flag} --kd-temperature-schedule {cfg.kd_temperature_schedule} needs the logits of "
            "a --kd-teacher; use constant"
        )
    for kind in intermediate_weights(cfg):
        yield f"{flag} --kd-{kind}-weight needs the layers of a --kd-teacher"
    is_known = str(cfg.kd_divergence) in DIVERGENCES
    if cfg.kd_tail == "drop" and is_known and not divergence(cfg).finite_at_zero:
        yield (
            f"{flag} --kd-tail drop with reverse KL is infinite (the teacher gives all other "
            "tokens probability 0); use ghost or uniform"
        )
