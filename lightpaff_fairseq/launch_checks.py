"""Refuse launches that train nothing, or something else, and exit with success."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from fairseq import options, utils
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.data import data_utils
from fairseq.distributed import utils as distributed_utils
from fairseq.models import ARCH_MODEL_NAME_REGISTRY
from fairseq.tasks import TASK_DATACLASS_REGISTRY, FairseqTask

from .checkpoints.building import value_of
from .checkpoints.dictionaries import dictionary_problems
from .compat.patching import patch
from .data_shards import data_shards, split_problems
from .launched_processes import LAUNCHERS, Launched, join, launched
from .one_line_errors import call_with_one_line_errors, one_line_errors
from .problems import Problems

# of several processes on CPUs; pytorch_ddp of fairseq takes GPUs only
CPU_FLAGS = {"distributed_backend": "gloo", "ddp_backend": "legacy_ddp"}
LEGACY, PYTORCH = ("legacy_ddp", "no_c10d"), ("pytorch_ddp", "c10d")
SIDES = ("encoder", "decoder")


@patch(distributed_utils, "call_main", issues=(4696,))
def check_launch(original: Callable[..., None], cfg: Any, main: Any, **kwargs: Any) -> None:
    """Join the processes of torchrun and srun; refuse a launch that would not train what it should.

    `--distributed-world-size 2` without a GPU spawns no process; processes of mpirun would train
    independent models into one folder. Unless the plug-in is in its search path,
    `fairseq-hydra-train` launches before it imports it: then the first goes unnoticed, and
    `trainer_hooks.check_before_training` catches the second. Files in the place of the folders of
    DATA and `--save-dir` are refused too, and heads that do not divide the width. An error of this
    plug-in, here or in any command of fairseq, is one line without a traceback.
    """
    with one_line_errors():
        if main.__module__ in ("fairseq_cli.train", "__main__"):
            join(cfg.distributed_training)
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
    Problems([_launch_problem(cfg), *_ddp_problems(cfg)]).raise_if_any()


def check_validation_sizes(cfg: Any, task: Any, model: Any) -> None:
    """Refuse validation samples that are too long, on which fairseq fails after the first epoch.

    Raises:
        ValueError: without --skip-invalid-size-inputs-valid-test, names the first of every split.
    """
    stock = FairseqTask.get_batch_iterator
    skips = cfg.dataset.skip_invalid_size_inputs_valid_test or cfg.dataset.disable_validation
    if skips or type(task).get_batch_iterator is not stock:
        return
    problems = Problems()
    limit = utils.resolve_max_positions(task.max_positions(), model.max_positions())
    for name in set(cfg.dataset.valid_subset.split(",")) & task.datasets.keys():
        dataset = task.dataset(name)
        with data_utils.numpy_seed(cfg.common.seed):
            _, too_long = dataset.filter_indices_by_size(dataset.ordered_indices(), limit)
        problems.unless(
            not len(too_long),
            f"--valid-subset {name}: expected samples of at most {limit} tokens, got "
            f"{len(too_long):,} longer (the first is number {min(too_long, default=0)}): remove "
            "them, or skip them with --skip-invalid-size-inputs-valid-test",
        )
    problems.raise_if_any()


def _launch_problem(cfg: Any) -> str | None:
    launch, place = cfg.distributed_training, launched()
    world_size = launch.distributed_world_size
    on_gpu = torch.cuda.is_available() and not cfg.common.cpu
    unknown = place and place.by == "mpirun" and launch.distributed_init_method is None
    if place and (world_size == 1 or unknown):
        return (
            f"{place.variable}={place.tasks} in the environment, but --distributed-world-size "
            f"{world_size}: every process would train a model of its own into --save-dir. Add "
            f"{_words(_rank_flags(place, on_gpu))}"
        )
    if world_size > 1 and not (on_gpu or cfg.common.tpu or launch.distributed_no_spawn):
        return (
            f"--distributed-world-size {world_size} without a GPU trains nothing: give "
            f"--distributed-world-size 1, or start `torchrun --nproc_per_node {world_size} "
            f"--no-python fairseq-train ... {_words(CPU_FLAGS)}`"
        )
    if world_size > 1 and not (on_gpu or cfg.common.tpu):
        given = {name: str(getattr(launch, name)) for name in CPU_FLAGS}
        if given["distributed_backend"] != "gloo" or given["ddp_backend"] not in LEGACY:
            return (
                f"{_words(given)}: expected {_words(CPU_FLAGS)} without a GPU, for "
                f"{world_size} processes"
            )
    common = cfg.common
    is_flat = common.fp16 and not (common.memory_efficient_fp16 or common.fp16_no_flatten_grads)
    if is_flat and not (on_gpu or common.tpu or common.amp):
        return (
            "--fp16: expected a GPU; on a CPU give --bf16, --memory-efficient-fp16, or "
            "--fp16-no-flatten-grads too"
        )
    return None


def _rank_flags(place: Launched, on_gpu: bool) -> dict[str, str]:
    """Return fairseq's settings that join the processes of a launcher, by name."""
    _, _, rank, local_rank = next(names for names in LAUNCHERS if names[1] == place.variable)
    return {
        "distributed_world_size": str(place.tasks),
        "distributed_rank": f"${rank}",
        "distributed_init_method": "env://" if place.by == "torchrun" else "tcp://HOST:PORT",
        "distributed_no_spawn": "",
        **({"device_id": f"${local_rank}"} if on_gpu else CPU_FLAGS),
    }


def _words(settings: dict[str, str]) -> str:
    """Return settings of distributed_training as the flags or overrides of this command."""
    if "hydra" in Path(sys.argv[0]).name:
        return " ".join(f"distributed_training.{n}={v or 'true'}" for n, v in settings.items())
    return " ".join(f"--{n.replace('_', '-')} {v}".strip() for n, v in settings.items())


def _ddp_problems(cfg: Any) -> Iterator[str]:
    """Yield a message for a wrapper of several processes that does not fit a criterion of ours."""
    launch = cfg.distributed_training
    kind = CRITERION_REGISTRY.get(value_of(cfg.criterion, "_name") or cfg.criterion)
    if launch.distributed_world_size == 1 or not hasattr(kind, "labels_are_tokens"):
        return
    if launch.ddp_backend == "fully_sharded":
        yield (
            "--ddp-backend fully_sharded: expected pytorch_ddp or legacy_ddp for distillation: a "
            "student fits on one GPU, and the teacher would not be sharded"
        )
    dropped = [side for side in SIDES if value_of(cfg.model, f"{side}_layerdrop")]
    reasons = [f"--{side}-layerdrop" for side in dropped]
    if not kind.labels_are_tokens:
        reasons.append("the head of masked language modeling, which classification does not use")
    if reasons and launch.ddp_backend in PYTORCH and not launch.find_unused_parameters:
        yield (
            f"--ddp-backend {launch.ddp_backend}: expected --find-unused-parameters because of "
            f"{' and '.join(reasons)}: without it, PyTorch stops at the second update"
        )


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
    for part in data_shards(data) if isinstance(data, str) else ():
        if not Path(part).is_dir() and "://" not in part:
            got = "a file" if Path(part).exists() else "none"
            yield f"DATA {part}: expected a folder of binarized data, got {got}"
    if isinstance(data, str):
        yield from split_problems(data, cfg.dataset.train_subset)
        yield from dictionary_problems(data)
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
