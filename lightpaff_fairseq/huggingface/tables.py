"""Map fairseq's tensors to Hugging Face's by tables of names, and back.

Every operation has an exact inverse: a model that goes there and back is the same bit by bit. A row
whose names hold `{}` stands for one tensor per layer.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Operation(Protocol):
    """Turn one Hugging Face tensor into one or more fairseq tensors, and back."""

    def to_fairseq(self, hf: Tensor) -> Sequence[Tensor]:
        """Return the fairseq tensors of a Hugging Face tensor."""

    def to_hf(self, fairseq: Sequence[Tensor]) -> Tensor:
        """Return the Hugging Face tensor of fairseq tensors."""


@dataclass(frozen=True)
class Same:
    """Keep the tensor."""

    def to_fairseq(self, hf: Tensor) -> Sequence[Tensor]:
        return (hf,)

    def to_hf(self, fairseq: Sequence[Tensor]) -> Tensor:
        return fairseq[0]


@dataclass(frozen=True, eq=False)
class Rows:
    """Reorder the rows of a `(V, ...)` tensor, and multiply it by a power of two.

    Attributes:
        order: `(V,)` the Hugging Face row of each fairseq row.
        scale: see `bert.eps_scale`.
    """

    order: Tensor
    scale: float = 1.0

    def to_fairseq(self, hf: Tensor) -> Sequence[Tensor]:
        return (_scaled(hf[self.order], self.scale),)

    def to_hf(self, fairseq: Sequence[Tensor]) -> Tensor:
        rows = torch.empty_like(fairseq[0])
        rows[self.order] = _scaled(fairseq[0], 1 / self.scale)
        return rows


@dataclass(frozen=True, eq=False)
class Positions:
    """Move a table of learned positions: position p is row p + 2 in fairseq (padding index 1).

    Rows in front of position 0 are kept where both have two of them, else dropped and made zeros.

    Attributes:
        first: the Hugging Face row of position 0; the table is `(positions + first, C)`.
        scale: see `Rows`.
    """

    first: int
    scale: float = 1.0

    def to_fairseq(self, hf: Tensor) -> Sequence[Tensor]:
        return (self._moved(_scaled(hf, self.scale), self.first, 2),)

    def to_hf(self, fairseq: Sequence[Tensor]) -> Tensor:
        return self._moved(_scaled(fairseq[0], 1 / self.scale), 2, self.first)

    @staticmethod
    def _moved(table: Tensor, first: int, new_first: int) -> Tensor:
        if first == new_first:
            return table
        return torch.cat([table.new_zeros(new_first, table.shape[1]), table[first:]])


@dataclass(frozen=True)
class Parts:
    """Split a tensor into `parts` of `(out, ...)`: a matrix of query, key and value, say.

    Attributes:
        transposed: the matrix is GPT-2's `Conv1D` `(in, parts * out)`, else `(parts * out, in)`.
    """

    parts: int
    transposed: bool = False

    def to_fairseq(self, hf: Tensor) -> Sequence[Tensor]:
        tensor = hf.t() if self.transposed else hf
        return [
            part.clone(memory_format=torch.contiguous_format) for part in tensor.chunk(self.parts)
        ]

    def to_hf(self, fairseq: Sequence[Tensor]) -> Tensor:
        tensor = torch.cat(list(fairseq))
        return tensor.t().contiguous() if self.transposed else tensor


SAME = Same()


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        fairseq: fairseq's name, or names where several share one Hugging Face tensor.
        hf: the name in Hugging Face's state dict.
        module: `encoder` or `decoder` where `{}` in the names stands for a layer of it.
    """

    fairseq: tuple[str, ...]
    hf: str
    operation: Operation = SAME
    module: str | None = None


def row(fairseq: str, hf: str, operation: Operation = SAME) -> Row:
    """Return the row of one tensor."""
    return Row((fairseq,), hf, operation)


def linear(fairseq: str, hf: str, module: str | None = None) -> list[Row]:
    """Return the two rows of a linear layer or a LayerNorm."""
    kinds = ("weight", "bias")
    return [Row((f"{fairseq}.{kind}",), f"{hf}.{kind}", module=module) for kind in kinds]


def expand(rows: Iterable[Row], layers: Mapping[str, int]) -> list[Row]:
    """Return one row per tensor, for the number of layers of each module."""
    return [
        Row(tuple(name.format(i) for name in one.fairseq), one.hf.format(i), one.operation)
        for one in rows
        for i in range(layers[one.module] if one.module else 1)
    ]


def to_fairseq_state(rows: Sequence[Row], hf: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the fairseq state dict of a Hugging Face one; tied tensors stay one tensor.

    Raises:
        ValueError: tensors differ that fairseq ties: all are named.
    """
    converted: dict[tuple[int, Operation], Sequence[Tensor]] = {}
    state: dict[str, Tensor] = {}
    differing = []
    for one in rows:
        key = (hf[one.hf].data_ptr(), one.operation)
        if key not in converted:
            converted[key] = one.operation.to_fairseq(hf[one.hf])
        for name, tensor in zip(one.fairseq, converted[key], strict=True):
            known = state.setdefault(name, tensor)
            if known is not tensor and not torch.equal(known, tensor):
                differing.append(one.hf)
    if differing:
        raise ValueError(
            f"expected equal tensors where fairseq has one, got others in {', '.join(differing)}"
        )
    return state


def to_hf_state(rows: Sequence[Row], fairseq: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the Hugging Face state dict of a fairseq one."""
    return {one.hf: one.operation.to_hf([fairseq[name] for name in one.fairseq]) for one in rows}


def name_problems(
    missing: Collection[str] = (), left_over: Collection[str] = (), shapes: Collection[str] = ()
) -> list[str]:
    """Return one sentence per kind of tensors that do not fit a model."""
    kinds = {"missing": missing, "left over": left_over, "of another shape": shapes}
    return [f"{kind}: {', '.join(sorted(names))}" for kind, names in kinds.items() if names]


def shape_problems(expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> list[str]:
    """Return `name (expected shape, got shape)` for each tensor of another shape."""
    return [
        f"{name} (expected {tuple(expected[name].shape)}, got {tuple(tensor.shape)})"
        for name, tensor in got.items()
        if name in expected and tensor.shape != expected[name].shape
    ]


def _scaled(tensor: Tensor, factor: float) -> Tensor:
    return tensor if factor == 1 else tensor * factor
