"""`lightpaff merge-caches`: join the shards of a teacher cache."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from ..flags import add_flags, flag, parse_flags
from ..teachers.cache.builder import merge
from .cache_teacher import print_state


@dataclass(frozen=True)
class MergeRequest:
    """Flags of `lightpaff merge-caches`."""

    shards: list[Path] = flag("folders to merge", name="shards", nargs="+", metavar="SHARD")
    out: Path = flag("folder of the merged cache", metavar="FOLDER")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Merge the folders that several runs of cache-teacher --num-shards have built. Shards that "
        "were built in the same folder need no merging."
    )
    add_flags(parser, MergeRequest)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Merge the shards and print the number of missing blocks.

    Raises:
        ValueError: they are not shards of one cache.
    """
    request: MergeRequest = parse_flags(args, MergeRequest)
    print_state(request.out, merge(request.shards, request.out))
    return 0
