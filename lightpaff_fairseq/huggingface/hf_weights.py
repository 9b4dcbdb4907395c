"""Read the weights of others without running code: which tensors there are, and their values."""

import re
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.integrity import corruption
from ..problems import as_value_error

NAMES = (("model", "safetensors"), ("pytorch_model", "bin"))  # of files with weights, or shards
REFUSED_GLOBAL = re.compile(r"GLOBAL (\S+) was not an allowed")  # torch's words for it


def check_weights(folder: Path) -> set[str]:
    """Refuse a folder without weights, with corrupt ones or with a pickle that would run code.

    Returns:
        the names of all tensors.
    Raises:
        ValueError: names the file and, for a pickle, what it would call.
    """
    from safetensors import SafetensorError, safe_open

    # Only what transformers reads, in its order: a training_args.bin beside it is nobody's business
    candidates = [sorted(folder.glob(f"{name}*.{ending}")) for name, ending in NAMES]
    paths = next((files for files in candidates if files), [])
    if not paths:
        raise ValueError("expected model.safetensors or pytorch_model.bin, got neither")
    names: set[str] = set()
    for path in paths:
        if path.suffix == ".bin":
            tensors = load_tensors(path, "--from hf", "meta")
            names |= set(tensors if isinstance(tensors, dict) else ())
            continue
        with (
            as_value_error(f"{path.name}: corrupt", (SafetensorError, OSError)),
            safe_open(path, framework="pt") as file,
        ):
            names |= set(file.keys())
    return names


def load_tensors(path: Path, flag: str, device: str = "cpu") -> Any:
    """Load a PyTorch file that others made: tensors and plain values, never code.

    Args:
        path: an existing file; `flag`: the flag that named it, for error messages.
        device: where tensors go; `meta`: they are not read.
    Raises:
        ValueError: it would run code, which is named and not run, or it is corrupt.
    """
    corrupt = corruption(path)
    if corrupt:
        raise ValueError(f"{flag} {path}: corrupt: {corrupt}")
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever a file of any kind raises
        names = _unsafe_globals(path) or REFUSED_GLOBAL.findall(str(error))
        if names:
            raise ValueError(
                f"{flag} {path}: refused: to load it would run code of its own ({', '.join(names)})"
            ) from error
        raise ValueError(
            f"{flag} {path}: refused: expected a file of tensors alone, got another pickle or a "
            f"corrupt file ({type(error).__name__})"
        ) from error


def _unsafe_globals(path: Path) -> list[str]:
    """Return the names of all globals that loading a file would call."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # it knows zip files only
        return []
