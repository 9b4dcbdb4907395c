"""`lightpaff compact`: write the small model of a pruned checkpoint."""

import argparse
import logging

from ..flags import add_flags, parse_flags
from ..pruning.compact import compact_checkpoint
from ..pruning.masked_checkpoint import model_flags
from .checkpoint_files import CheckpointFiles, megabytes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Write the small model of a checkpoint of a prunable task: a stock model without the "
        "pruned dimensions, with the same outputs. It needs no plug-in (except for MASS "
        "pre-training) and, like the output of lightpaff strip, works for generation, validation, "
        "fine-tuning (--finetune-from-model) and as a teacher."
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
