"""The positions of a batch that have a label. Shape letters: B batch, T target length, N positions.

Indexing by a mask waits for a GPU, which has to say how many entries are true. So the numbers of
the positions are computed where the batch is made, on the CPU, and N is their length.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LabelPositions:
    """N of the B * T positions.

    Attributes:
        mask: `(B, T)` bool; numbers: `(N,)` int64, b * T + t of those that are true, ascending
            unless the batch is a teacher's own (`teachers/aligned_batch.py`).
    """

    mask: Tensor
    numbers: Tensor

    @classmethod
    def of(cls, mask: Tensor) -> "LabelPositions":
        """Return the positions where a mask is true; waits for a GPU that has the mask."""
        return cls(mask, mask.flatten().nonzero().squeeze(-1))

    def __len__(self) -> int:
        """Return N."""
        return len(self.numbers)

    def counts(self, rows: Tensor) -> list[int]:
        """Return the number of positions per sample, of those with numbers `(M,)` among the N."""
        batch, length = self.mask.shape
        return (self.numbers[rows] // length).bincount(minlength=batch).tolist()

    def take(self, values: Tensor) -> Tensor:
        """Return `(N, ...)` of `(B, T, ...)`, without waiting for a GPU."""
        batch, length = values.shape[:2]
        swapped = values.transpose(0, 1)
        if swapped.is_contiguous():  # as fairseq's transformers compute: no copy of all positions
            numbers = self.numbers % length * batch + self.numbers // length
            return swapped.flatten(0, 1).index_select(0, numbers)
        return values.flatten(0, 1).index_select(0, self.numbers)
