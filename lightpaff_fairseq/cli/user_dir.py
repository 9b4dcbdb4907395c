"""`lightpaff user-dir`: where the plug-in lies."""

import argparse
from pathlib import Path


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers the sub-command."""
    parser = subparsers.add_parser(
        "user-dir",
        help="print the folder to hand to fairseq's --user-dir",
        description="Prints the folder of the plug-in: "
        'fairseq-train DATA --user-dir "$(lightpaff user-dir)" ...',
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints the absolute folder of the package."""
    print(Path(__file__).resolve().parent.parent)
    return 0
