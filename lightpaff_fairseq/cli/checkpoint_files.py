"""Flags shared by the commands that read one checkpoint and write another."""

from dataclasses import dataclass
from pathlib import Path

from ..flags import flag
from ..megabytes import MEGABYTE


@dataclass(frozen=True)
class CheckpointFiles:
    """The checkpoint to read and the one to write."""

    path: Path = flag("fairseq checkpoint to read", metavar="FILE")
    out: Path = flag("checkpoint to write", metavar="FILE")
    force: bool = flag("overwrite --out (default: refuse)", default=False)


def megabytes(path: Path) -> str:
    """Format the size of a file."""
    return f"{path.stat().st_size / MEGABYTE:.1f} MB"
