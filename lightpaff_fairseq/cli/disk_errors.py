"""Recognize that a file could not be written, whatever exception a library makes of it."""

import errno
import re

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
            return f"a file cannot be written: is the disk full? ({text.splitlines()[0]})"
        current = current.__cause__ or current.__context__
    return None
