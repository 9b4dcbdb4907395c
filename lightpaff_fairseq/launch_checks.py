"""Launches that train nothing, or something else, and exit with success."""

import functools
import importlib.util
import os
from typing import Any

import torch
from fairseq.distributed import utils as distributed_utils


def check_launch() -> None:
    """Refuses launches that train nothing, or something else, and exit with success.

    `--distributed-world-size 2` without a GPU spawns no process; torchrun without
    `--distributed-world-size` trains independent models into one folder; `--bf16` of the argparse
    commands means TPU (fairseq #4696). `fairseq-hydra-train` launches before it imports a plug-in:
    there the first of these goes unnoticed, the others are met in `check_before_training`.
    """
    original = distributed_utils.call_main
    if getattr(original, "checks_launch", False):
        return

    @functools.wraps(original)
    def call_main(cfg: Any, main: Any, **kwargs: Any) -> None:
        if getattr(main, "__module__", None) in ("fairseq_cli.train", "__main__"):
            check_launch_of(cfg)
        original(cfg, main, **kwargs)

    call_main.checks_launch = True  # type: ignore[attr-defined]
    distributed_utils.call_main = call_main


def check_launch_of(cfg: Any) -> None:
    """Raises ValueError where `check_launch` says why."""
    problem = _launch_problem(cfg)
    if problem:
        raise ValueError(problem)


def _launch_problem(cfg: Any) -> str | None:
    launch = cfg.distributed_training
    world, launched = launch.distributed_world_size, int(os.environ.get("WORLD_SIZE") or 1)
    on_gpu = torch.cuda.is_available() and not cfg.common.cpu
    if launched > 1 and world == 1:
        return (
            f"WORLD_SIZE={launched} in the environment but --distributed-world-size 1: every "
            "process would train a model of its own. Add --distributed-world-size, "
            "--distributed-rank $RANK, --distributed-no-spawn, --distributed-init-method env://"
        )
    if world > 1 and not (on_gpu or cfg.common.tpu or launch.distributed_no_spawn):
        return (
            f"--distributed-world-size {world} without a GPU trains nothing: give "
            "--distributed-world-size 1, or start one process a rank yourself, with "
            "--distributed-no-spawn, --distributed-rank and --distributed-init-method"
        )
    if cfg.common.tpu and cfg.common.bf16 and not _has_tpu():
        return (
            "--bf16: this command means bfloat16 on a TPU, and there is none; use "
            "fairseq-hydra-train common.bf16=true"
        )
    return None


def _has_tpu() -> bool:
    return importlib.util.find_spec("torch_xla") is not None
