"""`lightpaff strip`: write a checkpoint without optimizer state."""

import argparse
from dataclasses import dataclass

from ..checkpoints.strip import strip_checkpoint
from ..flags import add_flags, flag, parse_flags
from .checkpoint_files import CheckpointFiles, megabytes


@dataclass(frozen=True)
class StripRequest(CheckpointFiles):
    """The checkpoint to strip, and the type of its weights."""

    dtype: str | None = flag(
        "type of the weights: %(choices)s (default: as they are)",
        None,
        choices=("float32", "float16"),
        metavar="TYPE",
    )


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Write a checkpoint without optimizer state (about a third of the size) that fairseq loads "
        "without this plug-in if the model and the task are fairseq's own. It works for "
        "generation, validation, fine-tuning (--finetune-from-model) and as a teacher "
        "(--kd-teacher); training cannot resume from it."
    )
    add_flags(parser, StripRequest)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Strip one checkpoint; print both sizes and whether stock fairseq can load it.

    Raises:
        ValueError: see `strip_checkpoint`.
    """
    files = parse_flags(args, StripRequest)
    foreign = strip_checkpoint(files.path, files.out, files.force, files.dtype)
    print(f"{files.path} ({megabytes(files.path)}) -> {files.out} ({megabytes(files.out)})")
    if foreign:
        print(f"fairseq needs --user-dir to load it, for {' and '.join(foreign)}")
    return 0
