"""`lightpaff flags`: print all flags and architectures of the plug-in."""

import argparse
import logging

from ..flags_reference import flags_page


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Print all flags and architectures of the plug-in in Markdown (docs/flags.md), including "
        "those that fairseq-train --help does not show."
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the page."""
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    print(flags_page(), end="")
    return 0
