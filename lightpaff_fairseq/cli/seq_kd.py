"""`lightpaff seq-kd`: write training data whose targets are a teacher's translations."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data_shards import data_shards
from ..flags import add_flags, parse_flags
from ..progress import print_line
from ..sequence_kd.assemble import assemble, decode, is_assembled
from ..sequence_kd.backend_checks import backend_problems
from ..sequence_kd.data_folder import REPORT, check_output
from ..sequence_kd.job import Job, make_job
from ..sequence_kd.seq_kd_request import SeqKdRequest, fairseq_config, generation_problems
from ..sequence_kd.text_input import input_data
from ..shards import Shard
from .launched_shard import shard_of_launch


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Translate a training set or text with a teacher and write data for fairseq-train "
        "--task translation: sequence-level distillation. All other flags are those of "
        "fairseq-generate (DATA, --beam, --nbest, --sampling, --max-len-a, --max-tokens, ...). "
        "To continue a stopped run, run the same command again."
    )
    parser.allow_abbrev = False
    add_flags(parser, SeqKdRequest)
    add_flags(parser, Shard)
    parser.set_defaults(func=run, takes_more=True)


def run(args: argparse.Namespace) -> int:
    """Decode the missing blocks, and write the data folder once all are there.

    Raises:
        ValueError: bad flags, data or teacher, or an --out or --hypotheses of another command.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    request: SeqKdRequest = parse_flags(args, SeqKdRequest)
    shard: Shard = parse_flags(args, Shard)
    problems = request.problems()
    problems.extend([shard.problem()])
    problems.raise_if_any()
    shard = shard_of_launch(shard)
    cfg = fairseq_config(args.fairseq_flags, request)
    problems = generation_problems(cfg, request)
    problems.extend(backend_problems(cfg, request))
    problems.raise_if_any()
    folders = data_shards(cfg.task.data)
    if request.text:  # which needs the dictionaries alone
        folders = folders[:1]
    requests = request.per_shard(":".join(folders))
    inputs = [*map(Path, folders), *request.text_files]
    for each in requests:
        if len(requests) == 1 or not (each.out / REPORT).is_file():
            check_output(each.out, inputs, each.force)
    places = [each.hypotheses_folder for each in requests]
    with input_data(cfg, requests[0], print_line):
        jobs = [make_job(cfg, each, number) for number, each in enumerate(requests, 1)]
        _run_jobs(jobs, places, shard, inputs)
    return 0


def _run_jobs(
    jobs: Sequence[Job], places: Sequence[Path], shard: Shard, inputs: Sequence[Path]
) -> None:
    """Run one job per folder of DATA, but for those that a stopped run has completed.

    Args:
        places: of the hypotheses; inputs: files and folders that are read.
    """
    remaining = []
    for job, place in zip(jobs, places, strict=True):
        if not job.request.force and is_assembled(job):
            print_line(f"{job.request.out}: finished before, reused")
        else:
            check_output(job.request.out, inputs, job.request.force)
            remaining.append((job, place))
    for job, place in remaining:
        missing = decode(job, place, shard, print_line)
        if missing:
            print_line(f"{place}: {missing} blocks of other shards are missing")
        else:
            _print_report(job.request.out, assemble(job, place))


def _print_report(out: Path, report: dict[str, Any]) -> None:
    pairs, means = report["pairs"], report["mean length"]
    print_line(
        f"{out}: {sum(pairs.values()):,} pairs: {pairs['distilled']:,} distilled from "
        f"{report['sentences']:,} sentences, {pairs['original']:,} original"
    )
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in report["dropped"].items())
    print_line(f"dropped: {dropped or 'none'}")
    print_line(
        f"mean length in tokens: sources {means['sources']}, hypotheses {means['hypotheses']}"
    )
