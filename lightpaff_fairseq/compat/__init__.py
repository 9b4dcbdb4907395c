"""What fairseq 0.12 needs on current Python, PyTorch and numpy; applied by importing the plug-in.

One function an item. Each names the fault, does nothing where the fault is gone, and can be deleted
alone. Nothing here changes what a correct run computes.
"""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported

from .activations import compute_swish
from .batches import keep_the_last_batch, restore_numpy_names
from .checkpoints import (
    allow_checkpoint_classes,
    complete_old_checkpoints,
    keep_interpolated_booleans,
)
from .epochs import forget_items_of_the_last_epoch
from .messages import filter_known_warnings
from .tasks import join_parts_of_a_split, keep_arguments_of_mbart


def apply() -> None:
    """Every repair; a second call changes nothing."""
    allow_checkpoint_classes()
    keep_the_last_batch()
    restore_numpy_names()
    complete_old_checkpoints()
    keep_interpolated_booleans()
    forget_items_of_the_last_epoch()
    compute_swish()
    keep_arguments_of_mbart()
    join_parts_of_a_split()
    filter_known_warnings()
