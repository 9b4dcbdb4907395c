"""What commands share that read one checkpoint and write another."""

import argparse
from pathlib import Path

from ..evaluation.results import MEGABYTE


def add_files(parser: argparse.ArgumentParser, read: str) -> None:
    """The flags --path, --out and --force; `read` says what kind of checkpoint is read."""
    add = parser.add_argument
    add("--path", required=True, type=Path, metavar="FILE", help=f"{read} to read")
    add("--out", required=True, type=Path, metavar="FILE", help="checkpoint to write")
    add("--force", action="store_true", help="overwrite --out (default: refuse)")


def megabytes(path: Path) -> str:
    """The size of a file, as it is printed."""
    return f"{path.stat().st_size / MEGABYTE:.1f} MB"
