"""From a training command to a teacher, its data, and the plan of a cache."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from fairseq import options, tasks, utils
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from omegaconf import open_dict

from ...checkpoints.strip import PRUNABLE
from ...criterions.config import DistillationConfig
from ...criterions.distillation import DistillationMixin
from ..base import load_teachers
from .fingerprint import data_fingerprint, file_digest
from .header import Plan
from .layout import LPROBS, TOP_K, VALUES, Layout
from .source import Source, batching_of

CRITERIONS = {
    "masked_lm": "kd_mlm",
    "language_modeling": "kd_lm",
    "masked_seq2seq": "kd_mssm",
    "sentence_prediction": "kd_lu",
    "translation": "kd_ss",
}
DEFAULT_K, DEFAULT_TOKENS = 32, 4096
OWN = ("kd_teacher_data",)  # of the --kd-* flags of a pasted command, the one that still matters


@dataclass(frozen=True)
class Request:
    """What `lightpaff cache-teacher` was asked for, beside fairseq's flags.

    Attributes:
        path: of the teacher, or several with colons; split: of the data.
        topk: symbols a position; None: the default of the criterion.
        epochs: of masks; temperature: at which probabilities are taken.
        block_tokens: tokens of a block.
    """

    path: str
    split: str
    topk: int | None
    epochs: int
    temperature: float
    block_tokens: int


def fairseq_config(argv: Sequence[str], request: Request) -> Any:
    """The configuration of a training command, turned to one that distills from the teacher.

    Args:
        argv: flags of fairseq-train; what only training needs is ignored.
        request: names the teacher.
    Raises:
        ValueError: no criterion of ours is named, and the task does not tell which it is.
        SystemExit: fairseq does not know a flag.
    """
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag in ("--task", "--criterion", "--arch", "--optimizer"):
        known.add_argument(flag)
    named, _ = known.parse_known_args(argv)
    criterion = named.criterion
    if not issubclass(CRITERION_REGISTRY.get(criterion, object), DistillationMixin):
        criterion = CRITERIONS.get((named.task or "translation").removeprefix(PRUNABLE))
    if criterion is None:
        raise ValueError(f"--task {named.task}: name the --criterion of the training, as kd_ss")
    added = ["--criterion", criterion]
    added += [] if named.arch else ["--arch", "transformer"]  # fairseq's parser insists on one
    added += [] if named.optimizer else ["--optimizer", "adam"]
    args = options.parse_args_and_arch(options.get_training_parser(), [*argv, *added])
    cfg = convert_namespace_to_omegaconf(args)
    with open_dict(cfg.criterion):
        for field in fields(DistillationConfig):
            if field.name.startswith("kd_") and field.name not in OWN:
                cfg.criterion[field.name] = field.default
        cfg.criterion.kd_teacher = request.path
    return cfg


def request_problems(request: Request) -> list[str]:
    """Every value out of range, in words that start with its flag."""
    least = {"topk": request.topk, "epochs": request.epochs, "block_tokens": request.block_tokens}
    problems = [
        f"--{name.replace('_', '-')} {value}: expected 1 or more"
        for name, value in least.items()
        if value is not None and value < 1
    ]
    if not 0 < request.temperature < float("inf"):
        problems.append(f"--temperature {request.temperature}: expected a number above 0")
    return problems


def make_source(cfg: Any, request: Request) -> Source:
    """Loads data and teachers.

    Raises:
        ValueError: the data are in several folders or in none, there is no such split, or a
            teacher cannot be used.
    """
    if ":" in str(cfg.task.data):
        raise ValueError(
            f"{cfg.task.data}: data in several folders have no common sample numbers; join them"
        )
    if not Path(str(cfg.task.data)).is_dir():
        raise ValueError(f"{cfg.task.data}: no such folder (expected binarized data)")
    task = tasks.setup_task(cfg.task)
    criterion = task.build_criterion(cfg.criterion)
    if request.epochs > 1 and not criterion.masks_differ_by_epoch:
        raise ValueError(
            f"--epochs {request.epochs}: {cfg.criterion._name} sees the same samples in every "
            "epoch; expected 1"
        )
    load_split(task, request.split)
    teacher = load_teachers(criterion)
    on_gpu = torch.cuda.is_available() and not cfg.common.cpu
    dtype = torch.float16 if cfg.common.fp16 else torch.float32
    for model in teacher.models:
        model.to(device="cuda" if on_gpu else "cpu", dtype=dtype)
    batching = batching_of(cfg.dataset, DEFAULT_TOKENS)
    return Source(task, request.split, criterion, teacher, batching)


def load_split(task: Any, split: str) -> None:
    """Loads a split with all its parts (`train`, `train1`, ...), as a training does.

    Raises:
        ValueError: it is not there, empty or damaged.
    """
    try:
        task.load_dataset(split, combine=True)
    except (OSError, ValueError, AssertionError) as error:
        raise ValueError(
            f"--split {split}: expected the task's binarized data, found none that can be read: "
            f"{error}"
        ) from error


def make_plan(source: Source, request: Request, vocab: int) -> Plan:
    """What the cache will hold.

    Raises:
        ValueError: more symbols are asked for than there are.
    """
    criterion = source.criterion
    task: Any = criterion.task
    complete = not criterion.teacher_sees_labels  # classifiers: all classes
    k = request.topk or (vocab if complete else min(DEFAULT_K, vocab))
    if k > vocab or (complete and k != vocab):
        expected = f"all {vocab} classes" if complete else f"at most the {vocab} symbols there are"
        raise ValueError(f"--topk {k}: expected {expected}")
    values = bool(getattr(criterion, "regression_target", False))
    if values and request.temperature != 1:
        raise ValueError(f"--temperature {request.temperature}: a regression has none; expected 1")
    content = VALUES if values else LPROBS if k == vocab else TOP_K
    digests = ":".join(file_digest(Path(path)) for path in request.path.split(":"))
    precision = str(next(source.teacher.model.parameters()).dtype)
    return Plan(
        layout=Layout(content, vocab, k, request.temperature),
        data=data_fingerprint(task, request.split, criterion),
        teacher={"SHA-256 of the teacher": digests, "precision": precision},
        epochs=request.epochs if criterion.masks_differ_by_epoch else 0,
        max_positions=utils.resolve_max_positions(source.max_positions),
        bounds=source.bounds(request.block_tokens),
    )
