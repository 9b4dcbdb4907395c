"""`lightpaff augment`: write copies of training sentences with other words."""

import argparse
import logging
import os
from dataclasses import replace
from pathlib import Path

from ..augmentation.augment_request import AugmentRequest
from ..augmentation.job import assemble, make_job, propose
from ..flags import add_flags, parse_flags
from ..progress import print_line
from ..shards import Shard


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Copy every training sample several times, with words replaced by what a masked language "
        "model proposes: data for lightpaff distill with lambda 1, which reads no labels. To "
        "continue a stopped run, run the same command again."
    )
    parser.allow_abbrev = False
    add_flags(parser, AugmentRequest)
    add_flags(parser, Shard)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Propose the missing words, and write the data folder once all are there.

    Raises:
        ValueError: bad flags, data or model, or an --out or --proposals of another command.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    request: AugmentRequest = parse_flags(args, AugmentRequest)
    request = replace(request, out=Path(os.path.abspath(request.out)))  # `.` has no name
    shard: Shard = parse_flags(args, Shard)
    problems = request.problems()
    problems.extend([shard.problem()])
    problems.raise_if_any()
    job = make_job(request)
    missing = propose(job, shard, print_line)
    if missing:
        print_line(f"{request.proposals_folder}: {missing} blocks of other shards are missing")
        return 0
    report = assemble(job)
    samples = report["samples"]
    print_line(
        f"{request.out}: {samples['after']:,} samples from {samples['before']:,}; "
        f"{samples['without copies']:,} have no copy (no word that can be replaced, or too long)"
    )
    return 0
