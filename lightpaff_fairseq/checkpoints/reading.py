"""Read fairseq checkpoints, with clear errors for other files."""

from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils
from torch import Tensor

from .building import value_of
from .integrity import corruption
from .legacy import upgrade_checkpoint
from .state_dict import MASKED, is_masked


def read_checkpoint(path: Path, flag: str, may_be_masked: bool = False) -> dict[str, Any]:
    """Load a fairseq checkpoint to the CPU and upgrade it (see `upgrade_checkpoint`).

    Only classes that the plug-in allow-lists are unpickled (`compat`).

    Args:
        path: the checkpoint; flag: names it, for the error messages.
        may_be_masked: accept the masked model of a prunable task.
    Returns:
        the checkpoint; `model` is a state dict and `cfg` a DictConfig.
    Raises:
        ValueError: no such file, corrupt, or not a fairseq checkpoint; or a masked model.
    """
    state = _load(path, flag)
    model = state.get("model")
    if not isinstance(model, dict) or not all(isinstance(x, Tensor) for x in model.values()):
        raise ValueError(f"{flag} {path}: expected a fairseq checkpoint, got a file without model")
    if state.get("cfg") is None:
        raise ValueError(
            f"{flag} {path}: expected a fairseq checkpoint, got one without configuration "
            "(neither cfg nor args)"
        )
    for section in ("model", "task"):
        if value_of(state["cfg"], section) is None:
            raise ValueError(
                f"{flag} {path}: expected a fairseq checkpoint, got one whose configuration has no "
                f"{section}"
            )
    if is_masked(model) and not may_be_masked:
        raise ValueError(f"{flag} {path}: {MASKED}")
    upgrade_checkpoint(state)
    return state


def _load(path: Path, flag: str) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{flag} {path}: no such file (expected a fairseq checkpoint)")
    corrupt = corruption(path)
    if corrupt:
        raise ValueError(f"{flag} {path}: corrupt: {corrupt}")
    expected = f"{flag} {path}: expected a fairseq checkpoint"
    try:
        state: dict[str, Any] = checkpoint_utils.load_checkpoint_to_cpu(str(path))
    except KeyError as error:
        reason = f"or one of another plug-in: {error} is missing or unknown"
        raise ValueError(f"{expected}, got another PyTorch file, {reason}") from error
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{expected}, got another PyTorch file") from error
    except Exception as error:  # a flipped bit in a pickle may raise whatever Python knows
        reason = f"got a corrupt or foreign file: {first_line(error)}"
        raise ValueError(f"{expected}, {reason}") from error
    return state


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
