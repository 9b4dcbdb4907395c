"""`lightpaff user-dir`: print the folder for fairseq's --user-dir."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        'Print the folder of the plug-in: fairseq-train DATA --user-dir "$(lightpaff user-dir)" ...'
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the absolute folder of the package."""
    print(Path(__file__).resolve().parent.parent)
    return 0
