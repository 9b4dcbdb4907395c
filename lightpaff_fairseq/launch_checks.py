"""Refuse launches that train nothing, or something else, and exit with success."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from fairseq import options
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.distributed import utils as distributed_utils
from fairseq.models import ARCH_MODEL_NAME_REGISTRY
from fairseq.tasks import TASK_DATACLASS_REGISTRY

from .checkpoints.building import value_of
from .compat.patching import patch
from .one_line_errors import call_with_one_line_errors, one_line_errors
from .problems import Problems


@patch(distributed_utils, "call_main", issues=(4696,))
def check_launch(original: Callable[..., None], cfg: Any, main: Any, **kwargs: Any) -> None:
    """Refuse a launch of fairseq-train that would not train what was asked for.

    `--distributed-world-size 2` without a GPU spawns no process; torchrun without
    `--distributed-world-size` trains independent models into one folder; `--bf16` of the argparse
    commands means TPU. `fairseq-hydra-train` launches before it imports a plug-in: there the first
    of these goes unnoticed, `trainer_hooks.check_before_training` catches the others. Files in the
    place of the folders of DATA and `--save-dir` are refused too, and heads that do not divide the
    width. An error of this plug-in, then
    or in any command of fairseq, is one line without a traceback.
    """
    with one_line_errors():
        if main.__module__ in ("fairseq_cli.train", "__main__"):
            check_launch_config(cfg)
            Problems([*_folder_problems(cfg), *_heads_problems(cfg.model)]).raise_if_any()
    call_with_one_line_errors(original, cfg, main, **kwargs)


@patch(options, "parse_args_and_arch")
def check_criterion(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Refuse a criterion of the plug-in whose labels the task does not have.

    With sentence_prediction and another criterion fairseq fails later, on a flag of its own.
    """
    parsed = original(*args, **kwargs)
    flags = parsed[0] if isinstance(parsed, tuple) else parsed
    names = (getattr(flags, name, None) for name in ("criterion", "task"))
    is_command = Path(sys.argv[0]).name.startswith("fairseq-")
    with one_line_errors() if is_command else nullcontext():
        Problems([criterion_problem(*names)]).raise_if_any()
    return parsed


def check_launch_config(cfg: Any) -> None:
    """Raise ValueError for a launch that `check_launch` refuses."""
    problem = _launch_problem(cfg)
    if problem:
        raise ValueError(problem)


def _launch_problem(cfg: Any) -> str | None:
    launch = cfg.distributed_training
    world_size = launch.distributed_world_size
    launched = int(os.environ.get("WORLD_SIZE") or 1)
    on_gpu = torch.cuda.is_available() and not cfg.common.cpu
    if launched > 1 and world_size == 1:
        return (
            f"WORLD_SIZE={launched} in the environment but --distributed-world-size 1: every "
            "process would train a model of its own. Add --distributed-world-size, "
            "--distributed-rank $RANK, --distributed-no-spawn, --distributed-init-method env://"
        )
    if world_size > 1 and not (on_gpu or cfg.common.tpu or launch.distributed_no_spawn):
        return (
            f"--distributed-world-size {world_size} without a GPU trains nothing: give "
            "--distributed-world-size 1, or start one process per rank yourself, with "
            "--distributed-no-spawn, --distributed-rank and --distributed-init-method"
        )
    if cfg.common.tpu and cfg.common.bf16 and not _has_tpu():
        return (
            "--bf16: this command means bfloat16 on a TPU, and there is none; use "
            "fairseq-hydra-train common.bf16=true"
        )
    return None


def criterion_problem(criterion: Any, task: Any) -> str | None:
    """Return a message for a criterion of the plug-in whose labels a task does not have, or None.

    Args:
        criterion, task: registered names.
    """
    from .criterions.config_checks import task_problem  # after the repairs

    kind = CRITERION_REGISTRY.get(criterion)
    if not hasattr(kind, "labels_are_tokens"):
        return None
    flags = getattr(TASK_DATACLASS_REGISTRY.get(task), "__dataclass_fields__", {})
    return task_problem(criterion, task, kind.labels_are_tokens, "num_classes" in flags)


def _folder_problems(cfg: Any) -> Iterator[str]:
    """Yield a message for a folder of data or checkpoints that is a file, or cannot be."""
    task, folder = cfg.task, Path(str(cfg.checkpoint.save_dir))
    data = None if task is None else getattr(task, "data", None)  # dummy tasks have none
    for part in data.split(":") if isinstance(data, str) else ():
        if not Path(part).is_dir() and "://" not in part:
            got = "a file" if Path(part).exists() else "none"
            yield f"DATA {part}: expected a folder of binarized data, got {got}"
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        got = "a file" if existing.exists() else "a link to a file that is not there, or to itself"
        yield f"--save-dir {folder}: expected a folder, got {got}: {existing}"


def _heads_problems(model: Any) -> Iterator[str]:
    """Yield a message for an encoder or a decoder whose heads do not divide its width.

    Args:
        model: a model section; None: of a command that builds none.
    """
    from .pruning.sizes import FAMILIES  # after the repairs

    name = None if model is None else value_of(model, "_name") or value_of(model, "arch")
    for side in FAMILIES.get(ARCH_MODEL_NAME_REGISTRY.get(name, name), ()):
        width, heads = (value_of(model, f"{side}_{x}") for x in ("embed_dim", "attention_heads"))
        if width and heads is not None and (heads < 1 or width % heads):
            yield (
                f"--{side}-attention-heads {heads}: expected a divisor of "
                f"--{side}-embed-dim {width}"
            )


def _has_tpu() -> bool:
    return importlib.util.find_spec("torch_xla") is not None
