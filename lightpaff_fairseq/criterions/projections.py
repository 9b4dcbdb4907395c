"""The learned projections of a criterion, which fairseq saves and resumes with it."""

import logging
from typing import Any

from fairseq.criterions import FairseqCriterion
from torch import Tensor

FORMER_PREFIX, PREFIX = "knowledge.", "distiller.intermediate."  # of version 0.1; now
logger = logging.getLogger(__name__)


class ResumesProjections(FairseqCriterion):
    """A criterion whose parameters, if any, are projections between student and teacher."""

    starts_afresh: bool = False  # true if the optimizer is reset, so that projections may be, too

    def load_state_dict(self, state_dict: dict[str, Tensor] | None, strict: bool = True) -> Any:
        """Load the projections of a resumed run.

        With `--finetune-from-model`, fairseq passes the state of the previous stage, which may have
        none or other projections: then those of this run keep their initialization.

        Raises:
            ValueError: the resumed run had other losses, or another teacher.
        """
        state = {
            PREFIX + name.removeprefix(FORMER_PREFIX) if name.startswith(FORMER_PREFIX) else name: x
            for name, x in (state_dict or {}).items()
        }
        stored, expected = (
            {name: tuple(x.shape) for name, x in tensors.items()}
            for tensors in (state, self.state_dict())
        )
        if stored == expected:
            return super().load_state_dict(state, strict)
        if self.starts_afresh:
            logger.info("no projections for these losses in the checkpoint: they are initialized")
            return None
        raise ValueError(
            "resuming with other --kd-... losses or another teacher: expected projections "
            f"{expected}, got {stored}; use the same flags, or --reset-optimizer"
        )
