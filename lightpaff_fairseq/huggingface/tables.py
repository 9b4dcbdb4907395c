"""Rows of a table fairseq name <-> Hugging Face name, and what a row does to its tensor.

Every operation is undone exactly by its inverse, so a model that goes there and back is the same
bit for bit. A row whose names hold `{}` stands for one tensor a layer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor


class Operation(Protocol):
    """How one Hugging Face tensor and one or more fairseq tensors become each other."""

    def ours(self, theirs: Tensor) -> Sequence[Tensor]:
        """The fairseq tensors of a Hugging Face tensor."""

    def theirs(self, ours: Sequence[Tensor]) -> Tensor:
        """The Hugging Face tensor of fairseq tensors."""


@dataclass(frozen=True)
class Same:
    """The same tensor on both sides."""

    def ours(self, theirs: Tensor) -> Sequence[Tensor]:
        """`theirs` itself."""
        return (theirs,)

    def theirs(self, ours: Sequence[Tensor]) -> Tensor:
        """`ours` itself."""
        return ours[0]


@dataclass(frozen=True, eq=False)
class Rows:
    """The vocabulary's rows in another order, times a power of two (see `bert.eps_scale`).

    Attributes:
        order: `(V,)` the Hugging Face row of each fairseq row.
    """

    order: Tensor
    scale: float = 1.0

    def ours(self, theirs: Tensor) -> Sequence[Tensor]:
        """`(V, ...)` in fairseq's order."""
        return (theirs[self.order] * self.scale if self.scale != 1 else theirs[self.order],)

    def theirs(self, ours: Sequence[Tensor]) -> Tensor:
        """`(V, ...)` in Hugging Face's order."""
        found = torch.empty_like(ours[0])
        found[self.order] = ours[0] / self.scale if self.scale != 1 else ours[0]
        return found


@dataclass(frozen=True, eq=False)
class Positions:
    """A table of learned positions; position p is row p + 2 in fairseq (padding index 1).

    Attributes:
        first: the Hugging Face row of position 0.
        scale: what the table is multiplied by, see `Rows`.
    """

    first: int
    scale: float = 1.0

    def ours(self, theirs: Tensor) -> Sequence[Tensor]:
        """`(positions + 2, C)`; the rows in front of position 0 are theirs where they have two."""
        table = theirs * self.scale if self.scale != 1 else theirs
        if self.first == 2:
            return (table,)
        front = table.new_zeros(2, table.shape[1])
        return (torch.cat([front, table[self.first :]]),)

    def theirs(self, ours: Sequence[Tensor]) -> Tensor:
        """`(positions + first, C)`."""
        table = ours[0] / self.scale if self.scale != 1 else ours[0]
        if self.first == 2:
            return table
        front = table.new_zeros(self.first, table.shape[1])
        return torch.cat([front, table[2:]])


@dataclass(frozen=True)
class Transposed:
    """The matrix of GPT-2's `Conv1D` is that of a linear layer transposed; parts are side by side.

    Attributes:
        parts: how many fairseq tensors share the Hugging Face tensor (3: query, key, value).
    """

    parts: int = 1

    def ours(self, theirs: Tensor) -> Sequence[Tensor]:
        """`parts` matrices `(out, in)`, or vectors."""
        return [part.t().contiguous() for part in theirs.chunk(self.parts, dim=-1)]

    def theirs(self, ours: Sequence[Tensor]) -> Tensor:
        """One matrix `(in, parts * out)`, or a vector."""
        return torch.cat([part.t() for part in ours], dim=-1).contiguous()


@dataclass(frozen=True)
class Stacked:
    """`parts` tensors on top of one another: fairseq 0.8's `in_proj` of an attention."""

    parts: int

    def ours(self, theirs: Tensor) -> Sequence[Tensor]:
        """`parts` tensors `(out, ...)`."""
        return [part.clone() for part in theirs.chunk(self.parts, dim=0)]

    def theirs(self, ours: Sequence[Tensor]) -> Tensor:
        """One tensor `(parts * out, ...)`."""
        return torch.cat(list(ours))


SAME = Same()


@dataclass(frozen=True)
class Row:
    """Tensors that are one another's counterpart.

    Attributes:
        ours: fairseq's name, or names where several share one Hugging Face tensor.
        theirs: the name in Hugging Face's state dict.
        side: `encoder` or `decoder` where `{}` in the names stands for a layer of it.
    """

    ours: tuple[str, ...]
    theirs: str
    operation: Operation = field(default=SAME)
    side: str | None = None


def row(ours: str, theirs: str, operation: Operation = SAME) -> Row:
    """A row of one tensor on each side."""
    return Row((ours,), theirs, operation)


def linear(ours: str, theirs: str, side: str | None = None) -> list[Row]:
    """The two rows of a linear layer or a LayerNorm."""
    kinds = ("weight", "bias")
    return [Row((f"{ours}.{kind}",), f"{theirs}.{kind}", side=side) for kind in kinds]


def expand(rows: Iterable[Row], layers: Mapping[str, int]) -> list[Row]:
    """One row a tensor, for the layers that a model has on each side."""
    found = []
    for one in rows:
        numbers = range(layers[one.side]) if one.side else range(1)
        found += [
            Row(tuple(n.format(i) for n in one.ours), one.theirs.format(i), one.operation)
            for i in numbers
        ]
    return found


def to_fairseq(rows: Sequence[Row], theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The fairseq state dict of a Hugging Face one; tensors tied there stay one tensor.

    Raises:
        ValueError: fairseq ties tensors that differ in Hugging Face's model: names all.
    """
    made: dict[tuple[int, int], Sequence[Tensor]] = {}
    ours: dict[str, Tensor] = {}
    differing = []
    for one in rows:
        source = theirs[one.theirs]
        key = (source.data_ptr(), id(one.operation))
        if key not in made:
            made[key] = one.operation.ours(source)
        for name, tensor in zip(one.ours, made[key], strict=True):
            if name in ours and not torch.equal(ours[name], tensor):
                differing.append(one.theirs)
            ours.setdefault(name, tensor)
    if differing:
        raise ValueError(
            f"tensors that fairseq has only once differ from their twins: {', '.join(differing)}"
        )
    return ours


def to_huggingface(rows: Sequence[Row], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The Hugging Face state dict of a fairseq one."""
    return {one.theirs: one.operation.theirs([ours[name] for name in one.ours]) for one in rows}
