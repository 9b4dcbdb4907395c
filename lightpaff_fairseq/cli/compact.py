"""`lightpaff compact`: the small model that is left of a pruned one."""

import argparse
import logging

from ..flags import add_flags
from ..pruning.compact import compact_checkpoint
from ..pruning.masked_checkpoint import described
from .checkpoint_files import CheckpointFiles, megabytes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Writes the model that is left of a checkpoint of a prunable task: a stock "
        "model, narrower, that computes the same. It needs neither the data nor this plug-in "
        "(except for MASS pre-training), and is what lightpaff strip writes: it generates, "
        "validates, teaches and can be fine-tuned."
    )
    add_flags(parser, CheckpointFiles)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Compacts one checkpoint; prints both sizes and the flags of the small model.

    Raises:
        ValueError: see `compact_checkpoint`.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    plan = compact_checkpoint(args.path, args.out, overwrite=args.force)
    before, after = plan.parameters
    print(
        f"{args.path} ({before:,} parameters, {megabytes(args.path)}) -> {args.out} "
        f"({after:,} parameters, {megabytes(args.out)})"
    )
    print(f"architecture: {described(plan.config)}")
    return 0
