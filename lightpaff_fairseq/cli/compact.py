"""`lightpaff compact`: the small model that is left of a pruned one."""

import argparse
import logging
from pathlib import Path

from ..pruning.compact import compact_checkpoint
from ..pruning.files import described

MEGABYTE = 10**6


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers the sub-command."""
    parser = subparsers.add_parser(
        "compact",
        help="make a small model of a pruned one",
        description="Writes the model that is left of a checkpoint of a prunable task: a stock "
        "model, narrower, that computes the same. It needs neither the data nor this plug-in "
        "(except for MASS pre-training), and is what lightpaff strip writes: it generates, "
        "validates, teaches and can be fine-tuned.",
    )
    parser.add_argument(
        "--path", required=True, type=Path, metavar="FILE", help="pruned checkpoint to read"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="checkpoint to write"
    )
    parser.add_argument("--force", action="store_true", help="overwrite --out (default: refuse)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Compacts one checkpoint; prints both sizes and the flags of the small model.

    Raises:
        ValueError: see `compact_checkpoint`.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    plan = compact_checkpoint(args.path, args.out, overwrite=args.force)
    sizes = [path.stat().st_size / MEGABYTE for path in (args.path, args.out)]
    print(
        f"{args.path} ({plan.parameters[0]:,} parameters, {sizes[0]:.1f} MB) -> {args.out} "
        f"({plan.parameters[1]:,} parameters, {sizes[1]:.1f} MB)"
    )
    print(f"architecture: {described(plan.config)}")
    return 0
