"""State of a training besides weights and optimizer, kept in its checkpoints by hooks.

fairseq saves the parameters of a criterion only, and calls its tasks in the process that writes.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from fairseq import checkpoint_utils
from fairseq.trainer import Trainer

from .compat.patching import patch

TRAINING_STATE = "criterion_training_state"  # in the extra_state of a checkpoint


class State(Protocol):
    """What a criterion keeps."""

    def gather(self) -> None:
        """Collect the state of all processes, which call this together."""

    @property
    def state(self) -> Any:
        """What was collected, of tensors and numbers; None: nothing."""

    def load(self, state: Any) -> None:
        """Take the state of a checkpoint."""


@runtime_checkable
class KeepsState(Protocol):
    """A criterion that may have a state."""

    @property
    def kept_state(self) -> State | None:
        """The state, if there is any."""


@patch(checkpoint_utils, "save_checkpoint")
def gather_state_of_criterion(
    original: Callable[..., Any], cfg: Any, trainer: Any, *args: Any, **kwargs: Any
) -> Any:
    """Let a criterion with a state collect it; fairseq calls this in all processes."""
    state = state_of(trainer.get_criterion())
    if state is not None and not cfg.no_save:
        state.gather()
    return original(cfg, trainer, *args, **kwargs)


@patch(Trainer, "state_dict")
def save_state_of_criterion(original: Callable[..., Any], self: Any) -> Any:
    """Put the state of a criterion into a checkpoint."""
    checkpoint, state = original(self), state_of(self.get_criterion())
    if state is not None and state.state is not None:
        checkpoint["extra_state"][TRAINING_STATE] = state.state
    return checkpoint


def restore_state_of_criterion(criterion: Any, extra_state: dict[str, Any] | None) -> None:
    """Give a criterion its state in the `extra_state` of a checkpoint, if there is one."""
    state = state_of(criterion)
    if state is not None and TRAINING_STATE in (extra_state or {}):
        state.load((extra_state or {})[TRAINING_STATE])


def state_of(criterion: Any) -> State | None:
    """Return the state of a criterion, if it has any."""
    return criterion.kept_state if isinstance(criterion, KeepsState) else None
