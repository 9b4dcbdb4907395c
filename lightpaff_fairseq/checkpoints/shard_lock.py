"""Locks of the runs that fill a folder together, so that none computes what another one does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .file_lock import LockedError, locked, owner_of

LOCKS = "shard-*-of-*.lock"


@contextmanager
def shard_lock(folder: Path, flag: str, number: int, count: int) -> Iterator[None]:
    """Lock shard `number` of `count` for the `with` block, or until this process ends.

    Args:
        flag: names the folder.
    Raises:
        ValueError: another process computes this shard, or one of another number of shards, some
            of whose blocks are the same.
    """
    named = f"{flag} {folder}"
    try:
        with locked(folder / f"shard-{number}-of-{count}.lock"):
            _check_count(folder, named, count)
            yield
    except LockedError as error:
        raise ValueError(
            f"{named}: another run is computing shard {number} of {count} ({error}); wait for it, "
            "or share the work by --num-shards and --shard-id"
        ) from error


def _check_count(folder: Path, named: str, count: int) -> None:
    for path in folder.glob(LOCKS):
        other = int(path.stem.rpartition("-")[2])
        owner = owner_of(path) if other != count else None
        if owner:
            raise ValueError(
                f"--num-shards {count}: expected {other}, as the run that is filling {named} "
                f"({owner}) has; or wait until it has ended"
            )
