"""Let one run at a time write checkpoints into a folder."""

import fcntl
import logging
import os
import socket
from pathlib import Path

LOCK = ".training.lock"  # stays; only the lock on it counts, which ends with its process
_held: dict[Path, int] = {}  # open files of this process
logger = logging.getLogger(__name__)


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
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not inherited by loaders' workers
    except (BlockingIOError, PermissionError) as error:
        owner = os.read(handle, 200).decode(errors="replace").strip() or "another process"
        os.close(handle)
        raise ValueError(
            f"--save-dir {folder}: another run is training into this folder ({owner}); give each "
            "run its own folder, or start the processes of one run as docs/distributed.md shows"
        ) from error
    except OSError as error:
        os.close(handle)
        logger.warning("--save-dir %s: cannot be locked against a second run: %s", folder, error)
        return
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    for other in list(_held):
        os.close(_held.pop(other))
    _held[path] = handle
