"""Write folders atomically."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..disk_errors import name_output
from ..output_file import beside, name_problem, parent_problem


@dataclass(frozen=True)
class OutputFolder:
    """The folder that a command writes.

    Attributes:
        flag: names the folder, for the error messages.
        marks: the command writes at least one of these files; --force only replaces folders with
            one of them.
        sources: files and folders that the command reads, which must not be in the folder.
    """

    path: Path
    flag: str
    marks: Sequence[str]
    sources: Sequence[Path]

    def problem(self, force: bool) -> str | None:
        """Return a message if the folder cannot be written, else None."""
        path, named = self.path, f"{self.flag} {self.path}"
        problem = name_problem(path, self.flag)
        if problem:
            return problem
        if path.exists() and not path.is_dir():
            return f"{named}: expected a folder, got a file"
        for source in self.sources:
            if is_inside(source, path):
                return f"{named}: expected a folder that does not contain the input {source}"
        if not _has_files(path):
            return parent_problem(path, self.flag)
        if not force:
            return f"{named}: exists already; --force replaces it"
        if not any((path / mark).is_file() for mark in self.marks):
            return (
                f"{named}: --force replaces only what this command wrote, and this folder has no "
                f"{' or '.join(self.marks)}"
            )
        return parent_problem(path, self.flag)

    def check(self, force: bool) -> None:
        """Raise ValueError if there is a problem."""
        problem = self.problem(force)
        if problem:
            raise ValueError(problem)


def is_inside(path: Path, folder: Path) -> bool:
    """Return true if a path is a folder or in it; either may be missing, or a link to itself."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


@contextmanager
def folder_beside(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`, and remove it after the block unless it was renamed."""
    temporary = beside(out.resolve())
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed run with the same process id
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(folder: Path, out: Path) -> None:
    """Rename a folder beside `out` to `out`, and remove the previous `out`.

    A symbolic link is kept, and points to the new folder. If renaming fails, `out` is unchanged.
    """
    out = out.resolve()
    old = beside(out, "old")
    shutil.rmtree(old, ignore_errors=True)  # of a killed run with the same process id
    try:
        if out.exists():
            out.replace(old)
        folder.replace(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.replace(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def new_folder(out: Path, flag: str = "--out") -> Iterator[Path]:
    """Yield an empty folder, which replaces `out` if the block succeeds.

    After any error, or an interrupt, `out` is unchanged and the new folder is removed.

    Raises:
        ValueError: the disk is full; or another process has written `out` meanwhile, whose folder
            is kept.
    """
    replaces = _has_files(out)
    with name_output(flag, out), folder_beside(out) as temporary:
        yield temporary
        if _has_files(out) and not replaces:
            raise ValueError(f"{out}: another process wrote this folder meanwhile; it is kept")
        put_in_place(temporary, out)


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
