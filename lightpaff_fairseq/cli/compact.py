"""`lightpaff compact`: the small model that is left of a pruned one."""

import argparse
import logging

from ..flags import add_flags, parse_flags
from ..pruning.compact import compact_checkpoint
from ..pruning.masked_checkpoint import model_flags
from .checkpoint_files import CheckpointFiles, megabytes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Write the model that is left of a checkpoint of a prunable task: a stock "
        "model, narrower, that computes the same. It needs neither the data nor this plug-in "
        "(except for MASS pre-training), and is what lightpaff strip writes: it generates, "
        "validates, teaches and can be fine-tuned."
    )
    add_flags(parser, CheckpointFiles)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Compact one checkpoint; print both sizes and the flags of the small model.

    Raises:
        ValueError: see `compact_checkpoint`.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    files = parse_flags(args, CheckpointFiles)
    plan = compact_checkpoint(files.path, files.out, overwrite=files.force)
    before, after = plan.parameters
    print(
        f"{files.path} ({before:,} parameters, {megabytes(files.path)}) -> {files.out} "
        f"({after:,} parameters, {megabytes(files.out)})"
    )
    print(f"architecture: {model_flags(plan.config)}")
    return 0
