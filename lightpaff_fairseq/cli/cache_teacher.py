"""`lightpaff cache-teacher`: store a teacher's outputs for training without the teacher."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from fairseq import options
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from omegaconf import open_dict

from ..checkpoints.dictionaries import dictionary_problems
from ..checkpoints.strip import PRUNABLE
from ..criterions.config import DistillationConfig
from ..criterions.distillation import DistillationMixin
from ..data_shards import data_problem
from ..fairseq_flags import fairseq_flag_problems
from ..flags import TRAINING_PREFIXES, add_flags, parse_flags
from ..megabytes import MEGABYTE
from ..problems import Problems
from ..progress import print_line
from ..shards import Shard
from ..teachers.cache.builder import build, check_space, finish, missing_bytes
from ..teachers.cache.cache_request import CacheJob, CacheRequest, make_jobs
from ..teachers.cache.layout import DRAWS
from ..teachers.cache.reader import CacheReader
from ..teachers.cache.source import set_up_task
from .launched_shard import shard_of_launch

CRITERIONS = {
    "masked_lm": "kd_mlm",
    "language_modeling": "kd_lm",
    "masked_seq2seq": "kd_mssm",
    "sentence_prediction": "kd_lu",
    "translation": "kd_ss",
}
KEPT = ("kd_teacher_data", "kd_vocabulary_map")  # of the --kd-* flags of a pasted command


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Run a teacher once over a dataset and store its most probable tokens at every predicted "
        "position, for fairseq-train --kd-cache. All other flags are those of the training command "
        "(DATA, --task and its flags; flags that only matter for training are ignored). To "
        "continue a stopped run, run the same command again."
    )
    parser.allow_abbrev = False
    add_flags(parser, CacheRequest)
    add_flags(parser, Shard)
    parser.set_defaults(func=run, takes_more=True)


def run(args: argparse.Namespace) -> int:
    """Build the cache, or a shard of it.

    Raises:
        ValueError: bad flags, data or teacher; --out is another cache; the disk is too small.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    request: CacheRequest = parse_flags(args, CacheRequest)
    shard: Shard = parse_flags(args, Shard)
    problems = request.problems()
    problems.extend([shard.problem()])
    problems.raise_if_any()
    shard = shard_of_launch(shard)
    jobs = _jobs(fairseq_config(args.fairseq_flags, request.path), request)
    for job in jobs:
        job.plan.folder(job.out).claim()
        _print_size(job)
    sizes = {job.out: missing_bytes(job.out, job.plan, shard, job.size) for job in jobs}
    check_space(sizes)
    for job in jobs:
        build(job.source, job.plan, job.out, shard, print_line)
        print_state(job.out, finish(job.out, job.plan))
    return 0


def _print_size(job: CacheJob) -> None:
    layout = job.plan.layout
    kind = "draws" if layout.content == DRAWS else "tokens"
    print_line(
        f"{job.out}: about {job.positions:,} positions, {layout.k} {kind} per position, "
        f"{job.per_position:.3g} bytes per position: {job.size / MEGABYTE:,.1f} MB in "
        f"{len(job.plan.blocks)} blocks"
    )


def fairseq_config(argv: Sequence[str], path: str) -> Any:
    """Return the configuration for distillation from a teacher by a training command.

    Args:
        argv: flags of fairseq-train.
        path: of the teacher.
    Raises:
        ValueError: there is no --criterion of this plug-in, and --task does not imply one.
        SystemExit: fairseq does not know a flag.
    """
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--task", "--criterion", "--arch", "--optimizer"):
        known.add_argument(name)
    given, _ = known.parse_known_args(argv)
    criterion = given.criterion
    if not issubclass(CRITERION_REGISTRY.get(criterion, object), DistillationMixin):
        criterion = CRITERIONS.get((given.task or "translation").removeprefix(PRUNABLE))
    if criterion is None:
        raise ValueError(f"--criterion: expected one of this plug-in for --task {given.task}")
    added = ["--criterion", criterion]
    added += [] if given.arch else ["--arch", "transformer"]  # fairseq's parser requires one
    added += [] if given.optimizer else ["--optimizer", "adam"]
    args = options.parse_args_and_arch(options.get_training_parser(), [*argv, *added])
    cfg = convert_namespace_to_omegaconf(args)
    with open_dict(cfg.criterion):
        for field in fields(DistillationConfig):
            if field.name.startswith(TRAINING_PREFIXES) and field.name not in KEPT:
                cfg.criterion[field.name] = field.default
        cfg.criterion.kd_teacher = path
    return cfg


def _jobs(cfg: Any, request: CacheRequest) -> list[CacheJob]:
    problems = Problems(fairseq_flag_problems(cfg, "dataset", "common"))
    problems.extend([data_problem(cfg.task.data), *dictionary_problems(str(cfg.task.data))])
    problems.raise_if_any()
    task = set_up_task(cfg.task, request.split)
    prediction = task.build_criterion(cfg.criterion).distiller.prediction
    return make_jobs(cfg, task, prediction, request)


def print_state(folder: Path, missing: int) -> None:
    """Print whether a cache is complete, and its size."""
    if missing:
        print_line(f"{folder}: {missing} blocks of other shards are missing")
        return
    size = sum(path.stat().st_size for path in folder.iterdir())
    cache = CacheReader(folder, "--out")
    unit = "distinct tokens drawn" if cache.plan.layout.content == DRAWS else "positions"
    print_line(f"{folder}: complete, {cache.positions:,} {unit}, {size / MEGABYTE:,.1f} MB")
    if cache.skipped:
        print_line(f"{cache.skipped} samples were skipped, too long for task or teacher")
