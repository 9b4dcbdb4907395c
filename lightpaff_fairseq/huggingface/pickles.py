"""Reading files of PyTorch that others made: tensors and plain values, never code."""

import re
from pathlib import Path
from typing import Any

import torch

NAMED = re.compile(r"GLOBAL (\S+) was not an allowed")  # how torch says what it did not call


def load_tensors(path: Path, flag: str, device: str = "cpu") -> Any:
    """What a file holds.

    Args:
        path: exists.
        flag: the flag that named it, for the error messages.
        device: where tensors go; `meta`: they are not read.
    Raises:
        ValueError: it would run code, which is named and not run, or it is damaged.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever a file of any kind raises
        names = _not_called(path) or NAMED.findall(str(error))
        if names:
            raise ValueError(
                f"{flag} {path}: refused: to load it would run code of its own ({', '.join(names)})"
            ) from error
        raise ValueError(
            f"{flag} {path}: refused: expected a file of tensors alone, found another pickle or a "
            f"damaged file ({type(error).__name__})"
        ) from error


def _not_called(path: Path) -> list[str]:
    """All that loading it would call."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # it knows zip files only
        return []
