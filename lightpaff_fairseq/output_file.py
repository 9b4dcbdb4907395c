"""Write files atomically."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def file_problem(path: Path, flag: str, overwrite: bool) -> str | None:
    """Return a message if a file cannot be written, else None; `flag` names the file."""
    named = f"{flag} {path}"
    problem = name_problem(path, flag)
    if problem:
        return problem
    if path.is_dir():
        return f"{named}: expected a file name, got a folder"
    if path.exists() and not overwrite:
        return f"{named}: exists already; --force overwrites it"
    return parent_problem(path, flag)


def name_problem(path: Path, flag: str) -> str | None:
    """Return a message if no file can have this name (a link to itself, too long), else None."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"{flag} {path}: cannot be written to: {error.strerror}"
    return None


def parent_problem(path: Path, flag: str) -> str | None:
    """Return a message if the parent folder of `path` cannot be written to, else None."""
    problem = name_problem(path, flag)
    if problem:
        return problem
    parent = path.resolve().parent
    if not parent.is_dir():
        return f"{flag} {path}: the folder {parent} does not exist"
    if not os.access(parent, os.W_OK | os.X_OK):
        return f"{flag} {path}: the folder {parent} cannot be written to"
    return None


def beside(path: Path, ending: str = "tmp") -> Path:
    """Return a temporary name in the same folder, unique for this process and machine."""
    return path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}.{ending}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name for a new file, which replaces `path` if the block succeeds.

    After any error, or an interrupt, `path` is unchanged and the new file is removed. The content
    is synced to disk before the renaming. A symbolic link is kept, and points to the new file.

    Raises:
        OSError: the file cannot be written.
    """
    path = path.resolve()
    temporary = beside(path)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, flag: str) -> None:
    """Write a text file in one step.

    Args:
        flag: names the file or its folder, for the error message.
    Raises:
        ValueError: it cannot be written.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{flag} {path}: cannot be written: {error}") from error


def write_json(path: Path, value: Any, flag: str) -> None:
    """Write a JSON file in one step; see `write_text`."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n", flag)
