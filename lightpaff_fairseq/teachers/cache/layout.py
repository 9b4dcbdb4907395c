"""What a cache stores of one predicted position, and how. Documented for users in docs/cache.md.

Shape letters: N positions, V vocabulary, k stored symbols. All numbers are little-endian.

- Top-k (k < V), one record a position: k symbol numbers (2 bytes each; a plane of third bytes
  follows where V > 65,536), k codes of their probabilities and one of the mass of all others (2
  bytes each). A code c means `exp(-c * 24 / 65535)`: relative error at most 1.9e-4, probabilities
  below e^-24 are stored as e^-24. So an entry takes 4 bytes (5 where V > 65,536), a position 2.
- Complete (k = V), one record a position: V float32, no symbol numbers: log-probabilities, or
  the values themselves of a regression. An entry takes 4 bytes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...losses.dense import at_least_float32

Records = NDArray[Any]

DEEPEST = 24.0  # nats
STEPS = 65535
TOP_K, LPROBS, VALUES = "top-k", "log-probabilities", "values"
TWO_BYTES, THREE_BYTES = 1 << 16, 1 << 24


@dataclass(frozen=True)
class Layout:
    """What a record holds.

    Attributes:
        content: `TOP_K`, `LPROBS` (complete) or `VALUES` (complete, of a regression).
        vocab: V; k: stored symbols, V unless `TOP_K`.
        temperature: at which the probabilities were taken.
    """

    content: str
    vocab: int
    k: int
    temperature: float

    @property
    def dtype(self) -> np.dtype[Any]:
        """numpy's type of a record."""
        if self.content != TOP_K:
            return np.dtype([("value", "<f4", (self.vocab,))])
        high = [("high", "u1", (self.k,))] if self.vocab > TWO_BYTES else []
        low = ("low", "<u2", (self.k,))
        return np.dtype([low, *high, ("code", "<u2", (self.k,)), ("rest", "<u2")])

    def encode(self, logits: Tensor) -> Records:
        """Records `(n,)` of the teacher's logits `(n, V)` (values, for a regression).

        Raises:
            ValueError: they are not numbers: a code would make a probability of that.
        """
        logits = at_least_float32(logits)
        records = np.empty(len(logits), self.dtype)
        if self.content != TOP_K:
            values = logits if self.content == VALUES else self._tempered(logits).log_softmax(-1)
            records["value"] = _numbers(values).cpu().numpy()
            return records
        probs = self._tempered(logits).softmax(-1)
        top, ids = probs.topk(self.k)
        _numbers(top)
        rest = probs.scatter_(-1, ids, 0.0).sum(-1)  # 1 - sum of the others would cancel
        symbols = ids.cpu().numpy()
        records["low"] = symbols & (TWO_BYTES - 1)
        if self.vocab > TWO_BYTES:
            records["high"] = symbols >> 16
        records["code"], records["rest"] = _codes(top), _codes(rest)
        return records

    def _tempered(self, logits: Tensor) -> Tensor:
        return logits / self.temperature if self.temperature != 1 else logits

    def decode(self, records: Records) -> tuple[Tensor, Tensor]:
        """Symbols `(n, k)` int64 and log-probabilities `(n, k + 1)` float32, of the rest last.

        Only for `TOP_K`. Rounding is taken out of the sum: each row's probabilities sum to 1.
        """
        ids = records["low"].astype(np.int64)
        if self.vocab > TWO_BYTES:
            ids |= records["high"].astype(np.int64) << 16
        codes = np.concatenate([records["code"], records["rest"][:, None]], axis=1)
        lprobs = torch.from_numpy(codes.astype(np.float32)).mul_(-DEEPEST / STEPS)
        return torch.from_numpy(ids), lprobs.log_softmax(-1)

    def values(self, records: Records) -> Tensor:
        """What a complete cache stores, `(n, V)` float32."""
        return torch.from_numpy(np.ascontiguousarray(records["value"]))


def _numbers(values: Tensor) -> Tensor:
    """`(n, any)` values as they are.

    Raises:
        ValueError: some are NaN.
    """
    wrong = values.isnan().any(-1)
    if wrong.any():
        raise ValueError(
            f"--path: expected numbers from the teacher, found NaN at {int(wrong.sum())} of "
            f"{len(wrong)} positions (a damaged model, or --fp16 where it overflows)"
        )
    return values


def _codes(probs: Tensor) -> NDArray[Any]:
    depth = -probs.clamp_min(1e-30).log()
    codes: NDArray[Any] = (depth * (STEPS / DEEPEST)).round().clamp(0, STEPS).cpu().numpy()
    return codes.astype(np.uint16)
