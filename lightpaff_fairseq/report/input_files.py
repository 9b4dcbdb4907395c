"""Read the files that a user named, with errors that name them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import json_files


def read_text(path: Path, flag: str = "RUNS") -> str:
    """Return the content of a text file.

    Args:
        flag: how the user named the file or its folder.
    Raises:
        ValueError: it cannot be read, or is not text.
    """
    return "".join(read_lines(path, flag))


def read_lines(path: Path, flag: str = "RUNS") -> Iterator[str]:
    """Yield the lines of a text file, with their ends; see `read_text`."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from file
    except UnicodeDecodeError as error:
        raise ValueError(f"{flag} {path}: expected a text file, got binary data") from error
    except OSError as error:
        raise ValueError(f"{flag} {path}: cannot be read: {error}") from error


def parse_json(text: str, path: Path, line: int = 1, flag: str = "RUNS") -> Any:
    """Parse the JSON of a file, from a line of it on.

    Raises:
        ValueError: names the file and the line that is not JSON, see `json_files.parse_json`.
    """
    try:
        return json_files.parse_json(text, line)
    except ValueError as error:
        raise ValueError(f"{flag} {path}: {error}") from error
