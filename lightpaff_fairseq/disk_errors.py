"""Recognize that a file could not be written, whatever exception a library makes of it."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)
# of torch.save and safetensors, which raise no OSError
MESSAGES = re.compile(
    "PytorchStreamWriter|unexpected pos|iostream error|No space left|File too large"
)


def disk_error(error: BaseException) -> str | None:
    """Return a message if an exception, or one that it followed, is of a full disk; or None."""
    current: BaseException | None = error
    while current is not None:
        text = str(current)
        if isinstance(current, OSError) and current.errno in FULL:
            return text
        if type(current).__name__ in ("RuntimeError", "SafetensorError") and MESSAGES.search(text):
            return f"is the disk full? ({text.splitlines()[0]})"
        current = current.__cause__ or current.__context__
    return None


@contextmanager
def name_output(flag: str, path: Path) -> Iterator[None]:
    """Raise a ValueError that names an output if writing it fills the disk.

    Args:
        flag: names the output; path: its name.
    Raises:
        ValueError: from the exception, so that `disk_error` still recognizes it.
    """
    try:
        yield
    except Exception as error:
        reason = disk_error(error)
        if reason is None:
            raise
        raise ValueError(f"{flag} {path}: cannot be written: {reason}") from error
