"""Messages that start with the flag they are about."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def about(named: str) -> Iterator[None]:
    """Puts `named`, a flag and its value, in front of a ValueError that names no flag yet."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith("--"):
            raise
        raise ValueError(f"{named}: {error}") from error
