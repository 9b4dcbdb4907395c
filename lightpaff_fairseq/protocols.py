"""Types of fairseq's batches and tasks, which carry none, and of what a family of models predicts.

They declare the attributes that the package relies on.
"""

from collections.abc import Sized
from typing import Any, Protocol, TypedDict

from torch import Tensor, nn

from .losses.model_output import ModelOutput

LoggingOutput = dict[str, Any]  # what a criterion returns beside loss and divisor, and fairseq sums
DUMMY_BATCH = "is_stand_in"  # key of a batch whose loss and gradient fairseq throws away


class Sample(TypedDict):
    """A batch as the data sets of fairseq collate it.

    Attributes:
        id: `(B,)` sample numbers.
        net_input: keyword arguments of the model, `src_tokens` `(B, S)` among them.
        target: labels, `(B, T)` tokens or `(B, 1)` classes.
        ntokens, nsentences: sizes that fairseq divides by.
    """

    id: Tensor
    net_input: dict[str, Any]
    target: Tensor
    ntokens: int
    nsentences: int


class Dataset(Sized, Protocol):
    """A data set of a task."""

    @property
    def sizes(self) -> Any:
        """`(samples,)` or `(samples, 2)` numbers of tokens."""


class Task(Protocol):
    """A task of fairseq; `source_dictionary` and its like exist where the task has them."""

    cfg: Any

    def dataset(self, split: str) -> Any:
        """Return the loaded data set of a split, a `Dataset`."""

    def max_positions(self) -> Any:
        """Return the longest sample, a number or one per module."""


class Prediction(Protocol):
    """The prediction of one family of models: all that teachers and caches know of a criterion."""

    @property
    def padding_idx(self) -> int:
        """The index of padding in tokens."""

    @property
    def ignore_prefix_size(self) -> int:
        """The number of leading target positions without a loss."""

    @property
    def masks_differ_by_epoch(self) -> bool:
        """True where the task draws new masks in every epoch."""

    @property
    def output_depends_on_labels(self) -> bool:
        """True where the labels are part of the model's input (teacher forcing, masks)."""

    @property
    def is_regression(self) -> bool:
        """True where outputs are numbers, and not the logits of a distribution."""

    def compute_output(self, model: nn.Module, sample: Sample, positions: Tensor) -> ModelOutput:
        """Run student or teacher; return its output at the N chosen `positions` `(B, T)` (bool)."""

    def label_positions(self, sample: Sample) -> Tensor:
        """Return `(B, T)` bool: the positions that have a label and count in the loss."""

    def check_teacher(self, model: nn.Module, path: str) -> None:
        """Raise a ValueError if the model of checkpoint `path` cannot teach this family."""
