"""An output folder that appears whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARKS = ("encoding.json", "lightpaff.json")  # in every folder that is written


def check_folder(folder: Path, flag: str, overwrite: bool, source: Path) -> None:
    """Refuses a folder that cannot be written, before any work is done.

    Raises:
        ValueError: its parent does not exist, it is a file, it has something in it and
            `overwrite` is not set, or `source` lies in it.
    """
    if not folder.resolve().parent.is_dir():
        raise ValueError(f"{flag} {folder}: the folder {folder.parent} does not exist")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{flag} {folder}: expected a folder, found a file")
    if folder.resolve() in (source.resolve(), *source.resolve().parents):
        raise ValueError(f"{flag} {folder}: holds what is converted; choose another folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ValueError(f"{flag} {folder}: exists already; --force replaces it")
    filled = folder.is_dir() and any(folder.iterdir())
    if filled and not any((folder / mark).is_file() for mark in MARKS):
        raise ValueError(
            f"{flag} {folder}: --force replaces only what lightpaff convert wrote, not this"
        )


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place at the end, unless an error comes."""
    folder = folder.resolve()
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if folder.is_dir():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
