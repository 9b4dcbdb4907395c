"""A student's batch in the tokens of a teacher with another vocabulary, with aligned positions.

It is made on the CPU, where the batch is made: by the loader's workers in a training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from fairseq.data.data_utils import collate_tokens
from torch import Tensor

from ..losses.label_positions import LabelPositions
from ..protocols import Sample
from .text_alignment import TextAlignment


class BatchRow(NamedTuple):
    """A row of the teacher's batch.

    Attributes:
        number: of the row in the student's batch; tokens, pairs: as in `AlignedRow`.
    """

    number: int
    tokens: list[int]
    pairs: list[tuple[int, int]]

    def shortened(self, limit: int) -> "BatchRow":
        """Return the first `limit` tokens, at least 1; at limit 0 without pairs."""
        pairs = [(i, j) for i, j in self.pairs if j < limit]
        return BatchRow(self.number, self.tokens[: max(limit, 1)], pairs)


@dataclass(frozen=True)
class AlignedBatch:
    """What the teacher reads, and M aligned positions.

    Attributes:
        net_input: keyword arguments of the teacher.
        at: the teacher's positions, in the order of `rows`.
        rows: `(M,)` numbers of the student's, of the N that have a label; ascending.
    """

    net_input: dict[str, Tensor]
    at: LabelPositions
    rows: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> "AlignedBatch":
        """Return a copy with other tensors."""
        net_input = {name: change(x) for name, x in self.net_input.items()}
        at = LabelPositions(change(self.at.mask), change(self.at.numbers))
        return AlignedBatch(net_input, at, change(self.rows))


@dataclass(frozen=True)
class BatchAligner:
    """Turns batches of the student into the teacher's.

    Attributes:
        alignment: of the two vocabularies; pad: index of padding, of both.
        limits: most tokens of the teacher's input: of a source and of a target, or of a row. A
            longer source makes its sample have no aligned position; of longer targets and rows, the
            beginning is read.
    """

    alignment: TextAlignment
    pad: int
    limits: tuple[int, ...]

    def align(self, sample: Sample, positions: LabelPositions) -> AlignedBatch:
        """Align a batch; waits for a GPU that has it.

        Args:
            positions: those with a label.
        """
        rows, net_input = self._batch(sample)
        of_student = {number: n for n, number in enumerate(positions.numbers.tolist())}
        read = net_input.get("prev_output_tokens", net_input["src_tokens"])
        length, width = read.size(1), sample["target"].size(1)
        pairs = sorted(
            (of_student[row.number * width + i], place * length + j)
            for place, row in enumerate(rows)
            for i, j in row.pairs
            if row.number * width + i in of_student
        )
        chosen, numbers = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).t().contiguous()
        mask = torch.zeros(len(rows) * length, dtype=torch.bool).index_fill_(0, numbers, True)
        return AlignedBatch(net_input, LabelPositions(mask.view(-1, length), numbers), chosen)

    def _batch(self, sample: Sample) -> tuple[list[BatchRow], dict[str, Tensor]]:
        """Return the rows of the teacher's batch, and its input."""
        inputs, pad, limits = sample["net_input"], self.pad, self.limits
        previous, source = inputs.get("prev_output_tokens"), inputs["src_tokens"]
        tokens = (source if previous is None else previous).tolist()
        rows = [
            self._row(number, tokens[number], labels)
            for number, labels in enumerate(sample["target"].tolist())
        ]
        if previous is None:
            rows = [row.shortened(limits[0]) for row in rows]
            values = [row.tokens for row in rows]
            return rows, {"src_tokens": padded(values, pad), "src_lengths": lengths(values)}
        words = [self.alignment.source([x for x in row if x != pad]) for row in source.tolist()]
        for row, read in enumerate(words):
            too_long = len(read) > limits[0]
            rows[row] = rows[row].shortened(0 if too_long else limits[1])
            words[row] = read[-1:] if too_long else read
        rows.sort(key=lambda row: -len(words[row.number]))  # as LSTMs need them
        words.sort(key=lambda read: -len(read))
        return rows, {
            "src_tokens": padded(words, pad, left=True),
            "src_lengths": lengths(words),
            "prev_output_tokens": padded([row.tokens for row in rows], pad),
        }

    def _row(self, number: int, read: list[int], labels: list[int]) -> BatchRow:
        """Align one row; the student's positions count its padding."""
        at = [t for t, token in enumerate(read) if token != self.pad]
        row = self.alignment.target([*(read[t] for t in at), labels[at[-1]]])
        return BatchRow(number, row.tokens, [(at[i], j) for i, j in row.pairs])


def padded(rows: list[list[int]], pad: int, left: bool = False) -> Tensor:
    """Return rows of tokens as `(B, T)`."""
    tokens: Tensor = collate_tokens([torch.tensor(row) for row in rows], pad, left_pad=left)
    return tokens


def lengths(rows: list[list[int]]) -> Tensor:
    """Return the lengths of rows, `(B,)`."""
    return torch.tensor([len(row) for row in rows])
