"""Let one run at a time write checkpoints into a folder."""

import os
from pathlib import Path

from .file_lock import LockedError, lock_file

LOCK = ".training.lock"  # stays; only the lock on it counts, which ends with its process
_held: dict[Path, int] = {}  # open files of this process


def lock_save_dir(folder: Path) -> None:
    """Lock a folder for this process until it ends, however it ends, or locks another folder.

    Args:
        folder: is made if it does not exist.
    Raises:
        ValueError: another process, on this or, with a shared file system, another machine,
            has locked it.
    """
    path = (folder / LOCK).resolve()
    if path in _held:
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        handle = lock_file(path)
    except LockedError as error:
        raise ValueError(
            f"--save-dir {folder}: another run is training into this folder ({error}); give each "
            "run its own folder, or start the processes of one run as docs/distributed.md shows"
        ) from error
    if handle is None:
        return
    for other in list(_held):
        os.close(_held.pop(other))
    _held[path] = handle
