"""Check the flags of a criterion when it is built, with all problems in one error."""

import enum
import logging
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from ..flags import EMPTY, Range, at_least, flag_name, range_problems
from ..losses.divergences import DIVERGENCES
from ..losses.features import RELATIONS
from ..models.activations import MODULES
from ..problems import Problems
from ..teachers.cache.tail import TAILS
from .config import (
    DistillationConfig,
    divergence,
    intermediate_weights,
    selection,
    split_names,
)
from .on_policy_config import on_policy_problems
from .vocabulary_checks import mapped_task_problem, vocabulary_problems

logger = logging.getLogger(__name__)


STOCK = {  # flags of stock criterions that the losses take
    "label_smoothing": Range("a number from 0 (off) to below 1", 0, 1 - 1e-6),
    "ignore_prefix_size": at_least(0),
}
LISTS = {"kd_relation": RELATIONS, "kd_modules": MODULES, "kd_sides": MODULES}


def check_config(cfg: DistillationConfig) -> None:
    """Check every flag of `DistillationConfig`.

    Raises:
        ValueError: lists all flags that are out of range or do not fit together.
    """
    problems = Problems(_value_problems(cfg))
    problems.extend([*_combination_problems(cfg), *_ensemble_problems(cfg), *_cache_problems(cfg)])
    problems.extend([*_selection_problems(cfg), *_kernel_problems(cfg)])
    problems.extend([*on_policy_problems(cfg), *_teacher_of_outputs_problems(cfg)])
    problems.extend(vocabulary_problems(cfg))
    problems.raise_if_any()
    if cfg.kd_sides is not None:
        logger.warning("--kd-sides is now called --kd-modules")


def check_task(
    cfg: DistillationConfig, task: Any, labels_are_tokens: bool, can_generate: bool
) -> None:
    """Check that a task fits a criterion.

    Args:
        labels_are_tokens: false: the criterion needs classes; can_generate: its student predicts
            one token after another.
    Raises:
        ValueError: the task has tokens and the criterion needs classes, or the reverse; the task
            prunes the model while the criterion quantizes it; or the student cannot generate.
    """
    task_cfg, name = getattr(task, "cfg", None), type(task).__name__
    has_classes = hasattr(task_cfg, "num_classes")  # of sentence_prediction
    problems = Problems([task_problem(cfg._name, name, labels_are_tokens, has_classes)])
    problems.unless(
        not (cfg.quantize_weights and hasattr(task_cfg, "prune_interval")),  # of prunable tasks
        f"--quantize-weights {cfg.quantize_weights}: expected a task without pruning, got {name}; "
        "prune first, then fine-tune the model that lightpaff compact writes",
    )
    problems.unless(
        labels_are_tokens or cfg.kd_select is None,
        f"--kd-select {cfg.kd_select}: expected a criterion whose labels are tokens, got "
        f"{cfg._name}",
    )
    problems.unless(
        can_generate or not cfg.kd_on_policy,
        f"--kd-on-policy {cfg.kd_on_policy}: expected --criterion kd_ss, kd_lm or kd_clm, whose "
        f"student can generate, got {cfg._name}",
    )
    problems.extend([mapped_task_problem(cfg, task)])
    problems.raise_if_any()


def task_problem(
    criterion: str, task: str, labels_are_tokens: bool, has_classes: bool
) -> str | None:
    """Return a message if a task has classes and a criterion needs tokens, or the reverse."""
    if labels_are_tokens != has_classes:
        return None
    tokens = "a --task whose labels are tokens (for this one, kd_lu)"
    expected = tokens if has_classes else "--task sentence_prediction"
    return f"--criterion {criterion}: expected {expected}, got {task}"


def _value_problems(cfg: DistillationConfig) -> Iterator[str]:
    """Check flags one by one, choices too: only the command line and hydra have checked those."""
    yield from range_problems(cfg, DistillationConfig)
    for name, expected in STOCK.items():
        number = getattr(cfg, name, None)  # not every stock criterion has it
        if number is not None:
            yield from filter(None, [expected.problem(f"--{name.replace('_', '-')}", number)])
    for field in (x for x in fields(DistillationConfig) if x.name.startswith("kd_")):
        value, flag = getattr(cfg, field.name), flag_name(field)
        if isinstance(value, str) and not value.strip():
            yield f"{flag} {value!r}: {EMPTY}"
        elif field.name in LISTS and value is not None:
            names = split_names(value)
            if not names or not {*names} <= {*LISTS[field.name]} or len({*names}) < len(names):
                known = ", ".join(LISTS[field.name])
                yield f"{flag} {value}: expected some of {known}, each once"
        elif isinstance(field.type, type) and issubclass(field.type, enum.Enum):
            choices = [str(choice) for choice in field.type]
            if str(value) not in choices:
                yield f"{flag} {value}: expected one of {', '.join(choices)}"


def _combination_problems(cfg: DistillationConfig) -> Iterator[str]:
    if cfg.kd_sides is not None and cfg.kd_modules is not None:
        yield f"--kd-sides {cfg.kd_sides}: the old name of --kd-modules; set only one of them"
    if cfg.kd_cache is None and cfg.kd_tail != TAILS[0]:
        yield f"--kd-tail {cfg.kd_tail}: has no effect without --kd-cache"
    for name in ("beta", "skew"):
        users = [x for x, entry in DIVERGENCES.items() if entry.parameter == name]
        value = getattr(cfg, f"kd_{name}")
        if value != getattr(DistillationConfig, f"kd_{name}") and cfg.kd_divergence not in users:
            yield f"--kd-{name} {value}: has no effect without --kd-divergence {' or '.join(users)}"
    weight = cfg.kd_output_weight
    if weight != DistillationConfig.kd_output_weight and not intermediate_weights(cfg):
        yield f"--kd-output-weight {weight}: has no effect without an intermediate loss"
    is_regression = getattr(cfg, "regression_target", False)  # a flag of kd_lu only
    if cfg.kd_divergence != "forward_kl" and is_regression is True:
        yield (
            f"--kd-divergence {cfg.kd_divergence}: a regression has no probabilities, its soft "
            "loss is a squared difference"
        )


def _kernel_problems(cfg: DistillationConfig) -> Iterator[str]:
    """Check flags that PyTorch's losses support alone."""
    if cfg.kd_kernel == "triton" and cfg.kd_select is not None:
        yield f"--kd-kernel triton: expected no --kd-select, got {cfg.kd_select}"
    if cfg.kd_kernel == "triton" and cfg.kd_temperature_schedule != "constant":
        yield (
            "--kd-kernel triton: expected --kd-temperature-schedule constant, got "
            f"{cfg.kd_temperature_schedule} (the dense loss)"
        )


def _ensemble_problems(cfg: DistillationConfig) -> Iterator[str]:
    """Check flags that an ensemble, which has only a mean of probabilities, does not support."""
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


def _selection_problems(cfg: DistillationConfig) -> Iterator[str]:
    """Check the choice of positions."""
    if cfg.kd_select is None:
        return
    try:
        selection(cfg)
    except ValueError as error:
        yield f"--kd-select {cfg.kd_select}: {error}"
    if cfg.kd_temperature_schedule != "constant":
        yield (
            f"--kd-select {cfg.kd_select}: expected --kd-temperature-schedule constant, got "
            f"{cfg.kd_temperature_schedule}"
        )


def _teacher_of_outputs_problems(cfg: DistillationConfig) -> Iterator[str]:
    """Check flags that do not fit outputs of the student, which no cache has, without labels."""
    if not cfg.kd_on_policy:
        return
    flag = f"--kd-on-policy {cfg.kd_on_policy}:"
    if cfg.kd_cache is not None:
        yield f"{flag} expected --kd-teacher, got --kd-cache {cfg.kd_cache}"
    elif cfg.kd_teacher is None:
        yield f"{flag} expected --kd-teacher, got none"
    if cfg.kd_lambda == 0:
        yield f"{flag} expected --kd-lambda above 0, got 0"
    if any(part.startswith("lambda:") for part in split_names(cfg.kd_schedule)):
        yield f"{flag} expected --kd-schedule without lambda, got {cfg.kd_schedule}"
    name = (cfg.kd_select or "").partition(":")[0]
    if name in ("cross_entropy", "confident_wrong"):
        yield f"{flag} expected a --kd-select without labels, got {cfg.kd_select}"


def _cache_problems(cfg: DistillationConfig) -> Iterator[str]:
    """Check flags that need more of a teacher than stored probabilities."""
    if cfg.kd_cache is None:
        return
    flag = f"--kd-cache {cfg.kd_cache}:"
    if cfg.kd_teacher is not None:
        yield f"{flag} --kd-teacher {cfg.kd_teacher} is set too; set only one of them"
    if cfg.kd_teacher_dtype != "auto":
        yield f"{flag} --kd-teacher-dtype {cfg.kd_teacher_dtype} has no effect without --kd-teacher"
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
