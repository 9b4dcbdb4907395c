"""Locks on files that end with their process, however it ends."""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)


class LockedError(Exception):
    """Another process holds the lock; the text names it."""


def lock_file(path: Path) -> int | None:
    """Lock a file, which is created, until its descriptor is closed or this process ends.

    Returns:
        the descriptor; None, after a warning, on a file system without locks.
    Raises:
        LockedError: another process, on this or, with a shared file system, another machine, holds
            the lock.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not inherited by loaders' workers
    except (BlockingIOError, PermissionError) as error:
        owner = _owner(handle)
        os.close(handle)
        raise LockedError(owner) from error
    except OSError as error:
        os.close(handle)
        logger.warning("%s: cannot be locked against a second run: %s", path, error)
        return None
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return handle


def owner_of(path: Path) -> str | None:
    """Return the process that holds the lock of a file; None: there is no lock or no file.

    Only for files that this process has not locked itself.
    """
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return _owner(handle)
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(handle)
    return None


def _owner(handle: int) -> str:
    return os.read(handle, 200).decode(errors="replace").strip() or "another process"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file for the `with` block, and then remove the file.

    Raises:
        LockedError: see `lock_file`.
    """
    handle = lock_file(path)
    while handle is not None and not _is_at(path, handle):  # its last owner has just removed it
        os.close(handle)
        handle = lock_file(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
