"""`lightpaff cache-teacher`: store a teacher's outputs, so that training needs no teacher."""

import argparse
import logging
from pathlib import Path

from ..checkpoints.output_file import parent_problem
from ..megabytes import MEGABYTE
from ..teachers.cache.builder import Shard, build, check_space, claim, expected_bytes, finish
from ..teachers.cache.job import (
    DEFAULT_K,
    Request,
    fairseq_config,
    make_plan,
    make_source,
    request_problems,
)
from ..teachers.cache.reader import CacheReader


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Runs a teacher once over a data set and stores, for every predicted position, "
        "its most probable symbols: fairseq-train --kd-cache then trains without it. All other "
        "flags are those of the training command (DATA, --task and its flags; what only training "
        "needs is ignored). A stopped run is continued by the same command."
    )
    parser.allow_abbrev = False
    add = parser.add_argument
    text = "fairseq checkpoint; several, separated by colons, are averaged"
    add("--path", required=True, metavar="FILE", help=text)
    add("--out", required=True, type=Path, metavar="FOLDER", help="the cache")
    text = f"symbols stored a position (default: {DEFAULT_K}; kd_lu: all classes)"
    add("--topk", type=int, metavar="K", help=text)
    add("--split", default="train", metavar="NAME", help="data set (default: %(default)s)")
    text = "epochs whose masks are stored, for kd_mlm and kd_mssm (default: %(default)s)"
    add("--epochs", type=int, default=1, metavar="N", help=text)
    text = "as --kd-temperature of the training (default: %(default)s); only --kd-tail ghost "
    text += "needs it here"
    add("--temperature", type=float, default=1.0, metavar="T", help=text)
    add("--num-shards", type=int, default=1, metavar="N", help="parts built by separate runs")
    add("--shard-id", type=int, default=0, metavar="I", help="the part of this run, from 0")
    text = (
        "tokens a file of the cache; so much is lost when a run is stopped (default: %(default)s)"
    )
    add("--block-tokens", type=int, default=2**17, metavar="N", help=text)
    parser.set_defaults(func=run, takes_more=True)


def run(args: argparse.Namespace) -> int:
    """Builds the cache, or a shard of it, and prints how far it is.

    Raises:
        ValueError: bad flags, data or teacher; another cache is there; no room.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    request = Request(
        args.path, args.split, args.topk, args.epochs, args.temperature, args.block_tokens
    )
    shard = Shard(args.shard_id, args.num_shards)
    places = (shard.problem(), parent_problem(args.out, "--out"))
    problems = [*request_problems(request), *(problem for problem in places if problem)]
    if problems:
        raise ValueError("; ".join(problems))
    try:
        source = make_source(fairseq_config(args.fairseq_flags, request), request)
    except ValueError as error:  # the criterion's own name of the flag
        raise ValueError(str(error).replace("--kd-teacher ", "--path ")) from error
    vocab, share = source.probe()
    plan = make_plan(source, request, vocab)
    claim(args.out, plan)
    positions = int(share * source.tokens.sum()) * max(1, plan.epochs)
    size = expected_bytes(plan, positions)
    _say(
        f"about {positions:,} positions, {plan.layout.k} symbols each, "
        f"{plan.layout.dtype.itemsize} bytes a position: {size / MEGABYTE:,.1f} MB in "
        f"{len(plan.blocks)} blocks"
    )
    check_space(args.out, plan, shard, size)
    build(source, plan, args.out, shard, _say)
    print_state(args.out, finish(args.out, plan))
    return 0


def print_state(folder: Path, missing: int) -> None:
    """Print whether a cache is complete, and its size."""
    if missing:
        _say(f"{folder}: {missing} blocks of other shards are missing")
    else:
        size = sum(path.stat().st_size for path in folder.iterdir())
        skipped = CacheReader(folder, "--out").skipped
        _say(f"{folder}: complete, {size / MEGABYTE:,.1f} MB")
        if skipped:
            _say(f"{skipped} samples are too long for task or teacher and were left out")


def _say(text: str) -> None:
    print(text, flush=True)
