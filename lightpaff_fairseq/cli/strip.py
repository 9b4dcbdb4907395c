"""`lightpaff strip`: a checkpoint to hand on, without what only training needs."""

import argparse

from ..checkpoints.strip import strip_checkpoint
from .checkpoint_files import add_files, megabytes


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers the sub-command."""
    parser = subparsers.add_parser(
        "strip",
        help="make a small checkpoint that stock fairseq loads",
        description="Writes a checkpoint without optimizer state (about a third of the size) that "
        "fairseq loads without this plug-in, if the model and the task are fairseq's own. "
        "It generates, validates, teaches (--kd-teacher) and can be fine-tuned "
        "(--finetune-from-model); a training cannot be resumed from it.",
    )
    add_files(parser, "fairseq checkpoint")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Strips one checkpoint and prints both sizes, and whether stock fairseq can load it.

    Raises:
        ValueError: see `strip_checkpoint`.
    """
    foreign = strip_checkpoint(args.path, args.out, overwrite=args.force)
    print(f"{args.path} ({megabytes(args.path)}) -> {args.out} ({megabytes(args.out)})")
    if foreign:
        print(f"to load it, fairseq needs --user-dir: {' and '.join(foreign)} are not its own")
    return 0
