"""Verify the CRC-32 of every record of PyTorch's zip files, which `torch.load` ignores."""

import os
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

ZIP_START = b"PK\x03\x04"
CHUNK = 1 << 20  # bytes
CORRUPTION_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, LookupError, struct.error,
    RuntimeError, OverflowError, MemoryError,
)  # fmt: skip  # whatever zipfile raises for any change of any byte


def corruption(path: Path) -> str | None:
    """Return a description of the corruption of a PyTorch file, or None.

    Files of PyTorch 1.5 and older (and of `_use_new_zipfile_serialization=False`) have no
    checksums; they are only reported if empty.

    Raises:
        OSError: it cannot be opened.
    """
    status = path.stat()
    return _corruption(str(path.resolve()), status.st_size, (status.st_mtime_ns, status.st_ino))


def has_checksums(path: Path) -> bool:
    """Return true if a file is a zip file, corrupt or not."""
    with path.open("rb") as file:
        return file.read(len(ZIP_START)) == ZIP_START or zipfile.is_zipfile(path)


@lru_cache(maxsize=64)  # a file is checked early, for a good message, and again when it is loaded
def _corruption(path: str, size: int, version: tuple[int, int]) -> str | None:
    if size == 0:
        return "it is empty"
    if not has_checksums(Path(path)):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            for record in archive.infolist():
                with archive.open(record) as content:
                    while content.read(CHUNK):
                        pass
    except CORRUPTION_ERRORS as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def newest_intact(path: Path) -> Path | None:
    """Return the newest `checkpoint*.pt` beside `path` that is not corrupt; None: there is none."""
    others = [x for x in path.parent.glob("checkpoint*.pt") if x.name != path.name]
    newest = sorted(others, key=os.path.getmtime, reverse=True)
    return next((other for other in newest if corruption(other) is None), None)
