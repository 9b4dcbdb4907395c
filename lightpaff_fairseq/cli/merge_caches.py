"""`lightpaff merge-caches`: join the shards of a teacher cache."""

import argparse
from pathlib import Path

from ..teachers.cache.builder import merge
from .cache_teacher import print_state


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Copies what cache-teacher --num-shards built in several folders into one. "
        "Shards that were built in one folder need no merging."
    )
    parser.add_argument("shards", nargs="+", type=Path, metavar="SHARD", help="their folders")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="the cache")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Merge the shards and print what is missing.

    Raises:
        ValueError: they are not shards of one cache.
    """
    print_state(args.out, merge(args.shards, args.out))
    return 0
