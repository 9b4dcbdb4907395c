"""Types of fairseq's batches and tasks, with the attributes that this package uses, and the
interface between criterions and teachers.
"""

from collections.abc import Sized
from typing import Any, Protocol, TypedDict

from torch import Tensor, nn

from .losses.label_positions import LabelPositions
from .losses.model_output import ModelOutput

LoggingOutput = dict[str, Any]  # the third result of a criterion
PREPARED = "prepared_for_distillation"  # key of a `PreparedBatch`
DUMMY_BATCH = "is_stand_in"  # key of a batch whose loss and gradient fairseq discards
ON_POLICY = "is_on_policy"  # key of a batch whose targets the student has generated


class Sample(TypedDict):
    """A batch, as collated by fairseq's datasets.

    Attributes:
        id: `(B,)` sample numbers.
        net_input: keyword arguments of the model, with `src_tokens` `(B, S)`.
        target: labels, `(B, T)` tokens or `(B, 1)` classes.
        ntokens, nsentences: sizes by which fairseq divides.
    """

    id: Tensor
    net_input: dict[str, Any]
    target: Tensor
    ntokens: int
    nsentences: int


class Dataset(Sized, Protocol):
    """A dataset of a task."""

    @property
    def sizes(self) -> Any:
        """`(samples,)` or `(samples, 2)` numbers of tokens."""


class Task(Protocol):
    """A task of fairseq."""

    cfg: Any
    datasets: dict[str, Any]  # loaded splits

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False) -> Any:
        """Load a split, of the folder of DATA that an epoch reads."""

    def dataset(self, split: str) -> Any:
        """Return the loaded dataset of a split, a `Dataset`."""

    def max_positions(self) -> Any:
        """Return the length limit of samples: a number, or one per module."""


class Prediction(Protocol):
    """The prediction of one family of models: the interface of a criterion for teachers."""

    @property
    def padding_idx(self) -> int:
        """The index of the padding symbol."""

    @property
    def ignore_prefix_size(self) -> int:
        """The number of leading target positions without a loss."""

    @property
    def masks_differ_by_epoch(self) -> bool:
        """True if the task draws new masks in every epoch."""

    @property
    def output_depends_on_labels(self) -> bool:
        """True if labels determine the model's input (teacher forcing, masks)."""

    @property
    def is_regression(self) -> bool:
        """True if outputs are values of a regression, not logits."""

    def compute_output(
        self, model: nn.Module, sample: Sample, positions: LabelPositions
    ) -> ModelOutput:
        """Run student or teacher; return its output at the N `positions`."""

    def label_positions(self, sample: Sample) -> Tensor:
        """Return `(B, T)` bool: the positions that have a label and count in the loss."""

    def check_student(self, model: nn.Module) -> None:
        """Raise a ValueError if the model in training is of another family."""

    def check_teacher(self, model: nn.Module, named: str) -> None:
        """Raise a ValueError if the model cannot teach this family.

        Args:
            named: the flag and the checkpoint, as `--kd-teacher t.pt`, for messages.
        """
