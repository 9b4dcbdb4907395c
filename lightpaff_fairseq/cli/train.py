"""`lightpaff train`: fairseq-train with this plug-in and a line of progress."""

import argparse

from ..flags import add_flags, parse_flags
from ..training.training_run import TrainRequest, train


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Run fairseq-train with this plug-in. It prints a line per validation (update, loss, "
        "perplexity, BLEU, minutes left) and keeps fairseq's full log in a file. All other flags "
        "are those of fairseq-train (DATA, --task, --arch, --criterion, --kd-teacher, ...). To "
        "continue a stopped run, run the same command again."
    )
    parser.allow_abbrev = False
    add_flags(parser, TrainRequest)
    parser.set_defaults(func=run, takes_more=True)


def run(args: argparse.Namespace) -> int:
    """Train.

    Raises:
        ValueError: see `train`.
    """
    return train(parse_flags(args, TrainRequest), args.fairseq_flags)
