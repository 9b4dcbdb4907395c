"""`lightpaff hydra-config`: turn a command of fairseq-train into a file for fairseq-hydra-train."""

import argparse
import logging

from ..flags import add_flags, parse_flags
from ..training.hydra_config import HydraRequest, train_command, write_hydra_config


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Write a YAML file that makes fairseq-hydra-train train as a command of fairseq-train "
        "does. All other arguments are that command (fairseq-train DATA --task ...)."
    )
    parser.allow_abbrev = False
    add_flags(parser, HydraRequest)
    parser.set_defaults(func=run, takes_more=True)


def run(args: argparse.Namespace) -> int:
    """Write the file.

    Raises:
        ValueError: see `write_hydra_config`.
    """
    logging.getLogger().setLevel(logging.WARNING)  # hydra reports every composition
    request: HydraRequest = parse_flags(args, HydraRequest)
    write_hydra_config(request, args.fairseq_flags)
    print(train_command(request.out))
    return 0
