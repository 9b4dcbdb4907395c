"""Write a folder that appears complete or not at all."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .output_file import beside, parent_problem


@dataclass(frozen=True)
class OutputFolder:
    """Where a command writes a folder.

    Attributes:
        flag: that named it, for the error messages.
        marks: files of which the command leaves at least one; --force replaces no folder without.
        sources: what the command reads; nothing of it may lie in the folder.
    """

    path: Path
    flag: str
    marks: Sequence[str]
    sources: Sequence[Path]

    def problem(self, force: bool) -> str | None:
        """Return why it cannot be written, starting with the flag; or None."""
        path, named = self.path, f"{self.flag} {self.path}"
        if path.exists() and not path.is_dir():
            return f"{named}: expected a folder, got a file"
        for source in self.sources:
            if source.resolve().is_relative_to(path.resolve()):
                return f"{named}: expected another folder than that of what is read ({source})"
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


@contextmanager
def folder_beside(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`, which is gone after the block unless it was renamed."""
    temporary = beside(out.resolve())
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed run whose number this process got
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(folder: Path, out: Path) -> None:
    """Rename a folder that lies beside `out` to it; what was there is removed.

    A link stays, and leads to the new folder. If renaming fails, `out` is as it was.
    """
    out = out.resolve()
    old = beside(out, "old")
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
def new_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`, which takes its place if the block ends well.

    Whatever goes wrong inside, an interrupt too, leaves `out` as it was and nothing beside it.

    Raises:
        ValueError: another process has written `out` meanwhile; its folder stays.
    """
    replaces = _has_files(out)
    with folder_beside(out) as temporary:
        yield temporary
        if _has_files(out) and not replaces:
            raise ValueError(f"{out}: was written while this command ran; it stays as it is")
        put_in_place(temporary, out)


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
