"""A folder that appears complete or not at all."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


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
        """Why it cannot be written, in words that start with the flag; or None."""
        path, named = self.path.resolve(), f"{self.flag} {self.path}"
        if not path.parent.is_dir():
            return f"{named}: the folder {path.parent} does not exist"
        if not os.access(path.parent, os.W_OK | os.X_OK):
            return f"{named}: the folder {path.parent} cannot be written to"
        if path.exists() and not path.is_dir():
            return f"{named}: expected a folder, found a file"
        for source in self.sources:
            if source.resolve().is_relative_to(path):
                return f"{named}: expected another folder than that of what is read ({source})"
        if not _has_files(path):
            return None
        if not force:
            return f"{named}: exists already; --force replaces it"
        if not any((path / mark).is_file() for mark in self.marks):
            return (
                f"{named}: --force replaces only what this command wrote, and this folder has no "
                f"{' or '.join(self.marks)}"
            )
        return None

    def check(self, force: bool) -> None:
        """Raises ValueError if there is a problem."""
        problem = self.problem(force)
        if problem:
            raise ValueError(problem)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yields an empty folder beside `out`, which takes its place if the block ends well.

    Whatever goes wrong inside, an interrupt too, leaves `out` as it was and nothing beside it.
    Of a link, the folder that it points to is replaced.

    Raises:
        ValueError: another process has written `out` meanwhile; its folder stays.
    """
    out = out.resolve()
    replaces = _has_files(out)
    temporary, old = (out.with_name(f"{out.name}.{x}{os.getpid()}") for x in ("tmp", "old"))
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if _has_files(out) and not replaces:
            raise ValueError(f"{out}: was written while this command ran; it stays as it is")
        if out.exists():
            out.replace(old)
        temporary.replace(out)
    finally:
        if old.exists() and not out.exists():
            old.replace(out)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
