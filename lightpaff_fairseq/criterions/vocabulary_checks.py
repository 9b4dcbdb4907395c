"""Check the flags and the task of `--kd-vocabulary-map`."""

from collections.abc import Iterator
from typing import Any

from ..checkpoints.strip import PRUNABLE
from .config import DistillationConfig, intermediate_weights

TASKS = {  # criterion -> its task
    "kd_ss": "translation",
    "kd_lm": "language_modeling",
    "kd_clm": "language_modeling",
}


def vocabulary_problems(cfg: DistillationConfig) -> Iterator[str]:
    """Check flags that a teacher with another vocabulary does not support."""
    if cfg.kd_vocabulary_map is None:
        return
    flag = f"--kd-vocabulary-map {cfg.kd_vocabulary_map}:"
    if str(cfg._name) not in TASKS:
        yield f"{flag} expected --criterion {' or '.join(TASKS)}, got {cfg._name}"
    if cfg.kd_cache is None and (cfg.kd_teacher is None or ":" in cfg.kd_teacher):
        yield f"{flag} expected one teacher, got {cfg.kd_teacher or 'none'}"
    if cfg.kd_select is not None:
        yield f"{flag} expected no --kd-select, got {cfg.kd_select}"
    if cfg.kd_on_policy:
        yield f"{flag} expected no --kd-on-policy, got {cfg.kd_on_policy}"
    if cfg.kd_kernel == "triton":
        yield f"{flag} expected no --kd-kernel triton: its loss is PyTorch's"
    if cfg.kd_temperature_schedule != "constant":
        yield (
            f"{flag} expected --kd-temperature-schedule constant, got {cfg.kd_temperature_schedule}"
        )
    for kind in intermediate_weights(cfg):
        yield f"{flag} expected no --kd-{kind}-weight: layers are matched token by token"


def mapped_task_problem(cfg: DistillationConfig, task: Any) -> str | None:
    """Return a message if the batches of a task cannot be read by another vocabulary's teacher."""
    expected = None if cfg.kd_vocabulary_map is None else TASKS.get(str(cfg._name))
    task_cfg = getattr(task, "cfg", None) or getattr(task, "args", None)  # args: of older tasks
    name = str(getattr(task_cfg, "_name", None)).removeprefix(PRUNABLE)
    named = f"--kd-vocabulary-map {cfg.kd_vocabulary_map}: expected"
    if expected is not None and name != expected:
        return f"{named} --task {expected}, got {name}"
    if expected is not None and getattr(task_cfg, "add_bos_token", False):
        return f"{named} no --add-bos-token"
    return None
