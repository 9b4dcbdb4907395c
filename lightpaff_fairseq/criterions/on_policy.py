"""On-policy distillation: some updates learn from outputs of the student itself.

Whether an update does depends on the seed and the number of the update alone, so that all processes
agree, and a resumed run continues exactly. Source: GKD (arXiv 2306.13649).
"""

import logging
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from fairseq import utils
from fairseq.distributed import utils as distributed_utils
from torch import distributed, nn

from ..models.outputs import unwrapped
from ..protocols import DUMMY_BATCH, ON_POLICY, Sample, Task
from .on_policy_config import OnPolicyConfig, generator_arguments
from .student_outputs import StudentOutputs

CHOICE, DRAWS = 1, 2  # uses of the seed
State = list[dict[str, Any]]  # of every process
logger = logging.getLogger(__name__)


class OnPolicy:
    """The choice of updates, and the last batches that the student has generated.

    Args:
        cfg: the flags, with a share above 0.
        student: the model in training; task: its task.
        num_updates: returns the number of finished updates.
    Raises:
        ValueError: the task cannot generate, or rejects the arguments.
    """

    def __init__(
        self, cfg: Any, student: nn.Module, task: Task, num_updates: Callable[[], int]
    ) -> None:
        arguments = generator_arguments(cfg)
        prefix = int(getattr(cfg, "ignore_prefix_size", 0))  # kd_ss has it
        prompt = int(cfg.kd_on_policy_prompt)
        self._outputs = StudentOutputs(unwrapped(student), task, arguments, prompt, prefix)
        self._cfg: OnPolicyConfig = cfg
        self._num_updates = num_updates
        self._generated_at: int | None = None
        self._batches: list[Any] = []  # of that update: one, or --update-freq
        self._update, self._number = -1, 0  # the current update, and batches of it so far
        self._gathered: State | None = None
        logger.info(
            f"on-policy: {float(cfg.kd_on_policy):.0%} of the updates, new outputs after "
            f"{cfg.kd_on_policy_interval} updates, generator: {arguments}"
        )

    def is_chosen(self, update: int) -> bool:
        """Return whether an update, counted from 0, learns from outputs of the student."""
        return bool(self._random(CHOICE, update).random() < self._cfg.kd_on_policy)

    def batch(self, sample: Sample) -> Sample:
        """Return the batch to learn from: the given one, or one with outputs of the student."""
        update = self._num_updates()
        if update != self._update:
            self._update, self._number = update, 0
        number, self._number = self._number, self._number + 1
        if not self.is_chosen(update):
            return sample
        if DUMMY_BATCH in sample:  # its loss does not count, but has to have the same metrics
            return cast(Sample, {**sample, ON_POLICY: True})
        last = self._generated_at
        if last is None or update - last >= self._cfg.kd_on_policy_interval:
            self._generated_at, self._batches = update, []
        if self._generated_at != update and self._batches:
            kept: Sample = self._batches[number % len(self._batches)]
            return utils.move_to_cuda(kept) if sample["target"].is_cuda else kept
        rank = distributed_utils.get_data_parallel_rank() if is_distributed() else 0
        seed = int(self._random(DRAWS, update, rank, number).integers(2**63))
        batch = self._outputs.batch(sample, seed)
        if self._cfg.kd_on_policy_interval > 1:
            self._batches.append(batch)
        return batch

    def gather(self) -> None:
        """Collect the batches of all processes, which call this together, for a checkpoint."""
        if self._cfg.kd_on_policy_interval == 1:
            return
        own = {"generated_at": self._generated_at, "batches": utils.move_to_cpu(self._batches)}
        self._gathered = [own]
        if is_distributed():
            world = distributed_utils.get_data_parallel_world_size()
            self._gathered = [{}] * world
            group = distributed_utils.get_data_parallel_group()
            distributed.all_gather_object(self._gathered, own, group=group)

    @property
    def state(self) -> State | None:
        """Return what `gather` has collected; None: nothing has to be kept."""
        return self._gathered

    def load(self, state: State) -> None:
        """Continue with the batches of a checkpoint; in a new process, with new ones."""
        rank = distributed_utils.get_data_parallel_rank() if is_distributed() else 0
        if rank < len(state):
            self._generated_at = state[rank]["generated_at"]
            self._batches = list(state[rank]["batches"])

    def _random(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([int(self._cfg.seed) % 2**32, *numbers])


def is_distributed() -> bool:
    """Return whether there are several processes."""
    return distributed.is_available() and distributed.is_initialized()
