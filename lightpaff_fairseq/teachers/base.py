"""From the --kd-* flags of a criterion to its teacher, checked before any work."""

import logging
from pathlib import Path
from typing import Any

from torch import nn

from ..models.outputs import has_raw_logits, is_separable
from .cache.layout import VALUES
from .cache.reader import REBUILD, CacheReader
from .cache.tail import CacheUse
from .cached import CachedTeacher
from .loading import check_lengths, load_teacher
from .online import OnlineTeacher

logger = logging.getLogger(__name__)


def load_teachers(criterion: Any) -> OnlineTeacher:
    """The model or models of `--kd-teacher`, checked against the criterion and its dictionaries.

    Args:
        criterion: of ours, with its `task` and flags.
    Raises:
        ValueError: there is no teacher, or one cannot be used.
    """
    kd = criterion.kd
    if kd.kd_teacher is None:
        raise ValueError(
            f"--kd-teacher is missing: --kd-lambda {kd.kd_lambda} needs a teacher checkpoint, or "
            "--kd-cache (--kd-lambda 0 trains without one, where no --kd-...-weight is set)"
        )
    paths = kd.kd_teacher.split(":")
    if "" in paths:
        raise ValueError(f"--kd-teacher {kd.kd_teacher}: expected files separated by one colon")
    several = len(paths) > 1
    if several and len(criterion.kd_weights) > 1:
        raise ValueError(
            f"--kd-teacher {kd.kd_teacher}: --kd-...-weight matches the layers of one teacher, "
            f"found {len(paths)}"
        )
    if several and kd.kd_temperature_schedule == "flsw":
        raise ValueError(
            f"--kd-temperature-schedule flsw compares logits, but {len(paths)} teachers have only "
            "the mean of their probabilities; use cwsm or constant"
        )
    models = []
    for path in paths:
        model = load_teacher(path, criterion.task, kd.kd_teacher_data)
        criterion.check_teacher(model, path)
        models.append(model)
        size = sum(p.numel() for p in model.parameters())
        logger.info(f"teacher: {type(model).__name__}, {size:,} parameters, {path}")
    return OnlineTeacher(models, criterion.compute_output, criterion.join)


def online_teacher(criterion: Any, student: nn.Module) -> OnlineTeacher:
    """`load_teachers`, checked against the student, too.

    Raises:
        ValueError: see there; or a teacher takes shorter samples, or has no raw logits for flsw.
    """
    teacher = load_teachers(criterion)
    for path, model in zip(criterion.kd.kd_teacher.split(":"), teacher.models, strict=True):
        check_lengths(path, model, student, criterion.task)
    if criterion.kd.kd_temperature_schedule == "flsw":
        for who, model in (("student", student), ("teacher", teacher.model)):
            if not has_raw_logits(model):
                raise ValueError(
                    f"--kd-temperature-schedule flsw compares logits, but the {who} has only "
                    "probabilities (adaptive softmax); use cwsm or constant"
                )
    return teacher


def cached_teacher(criterion: Any, student: nn.Module) -> CachedTeacher:
    """The cache of `--kd-cache`.

    Raises:
        ValueError: there is no finished cache, or its contents are not what the flags need.
    """
    kd = criterion.kd
    reader = CacheReader(Path(kd.kd_cache), "--kd-cache")
    layout = reader.plan.layout
    values = bool(getattr(criterion, "regression_target", False))
    if values != (layout.content == VALUES):
        wanted = "values of a regression" if values else "probabilities"
        raise ValueError(
            f"--kd-cache {kd.kd_cache}: expected {wanted}, found {layout.content}: {REBUILD}"
        )
    size = f"{reader.positions:,} positions, {layout.k} symbols each"
    logger.info(f"teacher: cache {kd.kd_cache}, {size}")
    if reader.skipped:
        logger.warning(
            f"--kd-cache {kd.kd_cache}: {reader.skipped} samples were too long for the teacher "
            f"({reader.plan.max_positions} positions); training stops if it meets one"
        )
    return CachedTeacher(reader, CacheUse(kd.kd_tail, float(kd.kd_temperature)), criterion)


def say_if_dense(student: nn.Module) -> None:
    """Says where the fused loss cannot be taken."""
    if not is_separable(student):
        logger.info(
            f"dense distillation loss: {type(student).__name__} has no output layer that can "
            "be applied chunk by chunk, so all logits are kept"
        )
