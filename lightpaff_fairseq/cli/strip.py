"""`lightpaff strip`: write a checkpoint without optimizer state."""

import argparse

from ..checkpoints.strip import strip_checkpoint
from ..flags import add_flags, parse_flags
from .checkpoint_files import CheckpointFiles, megabytes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Write a checkpoint without optimizer state (about a third of the size) that fairseq loads "
        "without this plug-in if the model and the task are fairseq's own. It works for "
        "generation, validation, fine-tuning (--finetune-from-model) and as a teacher "
        "(--kd-teacher); training cannot resume from it."
    )
    add_flags(parser, CheckpointFiles)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Strip one checkpoint; print both sizes and whether stock fairseq can load it.

    Raises:
        ValueError: see `strip_checkpoint`.
    """
    files = parse_flags(args, CheckpointFiles)
    foreign = strip_checkpoint(files.path, files.out, overwrite=files.force)
    print(f"{files.path} ({megabytes(files.path)}) -> {files.out} ({megabytes(files.out)})")
    if foreign:
        print(f"fairseq needs --user-dir to load it, for {' and '.join(foreign)}")
    return 0
