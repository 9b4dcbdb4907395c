"""Soft losses that are not finite, found without waiting for a GPU."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..protocols import Sample


class _Entry(NamedTuple):
    """Whether a batch's loss is finite, on the CPU, true once `has_arrived`."""

    is_finite: Tensor
    has_arrived: Callable[[], bool]
    sample: Sample


class LossWatch:
    """The soft losses of the last batches.

    A loss on the CPU is known at once. That of a GPU is sent to pinned memory behind the kernels
    that compute it, and is known when a later batch begins: fairseq has waited for the GPU by then,
    for the norm of the gradient, where it stops at a NaN (and then runs the batch again).
    """

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(self, loss: Tensor, sample: Sample) -> None:
        """Watch a scalar loss of a batch."""
        self._entries.append(_Entry(*_to_host(loss.detach().isfinite()), sample))

    def not_finite(self) -> Iterator[Sample]:
        """Yield the batches whose loss has turned out not to be finite, each once."""
        entries, self._entries = self._entries, []
        for entry in entries:
            if not entry.has_arrived():
                self._entries.append(entry)
            elif not entry.is_finite:
                yield entry.sample


def _to_host(flag: Tensor) -> tuple[Tensor, Callable[[], bool]]:
    """Return a copy on the CPU, and a function that tells whether it has arrived."""
    if flag.device.type != "cuda":
        return flag, lambda: True
    host = torch.empty((), dtype=torch.bool, pin_memory=True)
    host.copy_(flag, non_blocking=True)
    event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return host, event.query
