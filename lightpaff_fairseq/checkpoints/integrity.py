"""Checksums of PyTorch's zip files: each record has a CRC-32, which `torch.load` does not compare.

A flipped bit in a tensor would be loaded, and used, without a word.
"""

import os
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

ZIP_START = b"PK\x03\x04"
CHUNK = 1 << 20  # bytes
DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, LookupError, struct.error,
    RuntimeError, OverflowError, MemoryError,
)  # fmt: skip  # whatever zipfile raises for any change of any byte


def corruption(path: Path) -> str | None:
    """Return why a PyTorch file is not as it was written, in words; or None.

    Files of PyTorch 1.5 and older (and of `_use_new_zipfile_serialization=False`) are no zip files
    and have no checksums: of them only an empty one is noticed.

    Raises:
        OSError: it cannot be opened.
    """
    status = path.stat()
    return _corruption(str(path.resolve()), status.st_size, (status.st_mtime_ns, status.st_ino))


def has_checksums(path: Path) -> bool:
    """Return whether a file is a zip file, whole or not."""
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
    except DAMAGE as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def newest_whole(path: Path) -> Path | None:
    """Return the newest `checkpoint*.pt` beside `path` that is not corrupt; None: there is none."""
    others = [x for x in path.parent.glob("checkpoint*.pt") if x.name != path.name]
    newest = sorted(others, key=os.path.getmtime, reverse=True)
    return next((other for other in newest if corruption(other) is None), None)
