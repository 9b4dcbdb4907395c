"""`lightpaff user-dir`: where the plug-in lies."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Prints the folder of the plug-in: "
        'fairseq-train DATA --user-dir "$(lightpaff user-dir)" ...'
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints the absolute folder of the package."""
    print(Path(__file__).resolve().parent.parent)
    return 0
