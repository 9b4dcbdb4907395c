"""Sizes as the package prints them: in MB, which are 10^6 bytes."""

from collections.abc import Iterable
from pathlib import Path

MEGABYTE = 10**6


def megabytes(files: Iterable[Path]) -> float:
    """Return the size of all files together in MB."""
    return sum(file.stat().st_size for file in files) / MEGABYTE
