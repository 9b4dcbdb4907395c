"""A folder that appears complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RECORD = "export.json"  # in every exported folder; --force replaces no folder without it


def folder_problem(out: Path, force: bool) -> str | None:
    """Why `out` cannot become the exported folder, in words that start with the flag; or None."""
    if not out.absolute().parent.is_dir():
        return f"--out {out}: the folder {out.parent} does not exist"
    if out.exists() and not out.is_dir():
        return f"--out {out}: expected a folder, found a file"
    if not out.exists() or not any(out.iterdir()):
        return None
    if not force:
        return f"--out {out}: exists already and is not empty; --force replaces it"
    if not (out / RECORD).is_file():
        return f"--out {out}: --force replaces exported folders only; this one has no {RECORD}"
    return None


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yields an empty folder beside `out`, which takes its place if the block ends well.

    Whatever goes wrong inside, an interrupt too, leaves `out` as it was and nothing beside it.
    """
    out = out.absolute()
    temporary, old = (out.with_name(f"{out.name}.{x}{os.getpid()}") for x in ("tmp", "old"))
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if out.exists():
            out.replace(old)
        try:
            temporary.replace(out)
        except OSError:
            if old.exists():
                old.replace(out)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
