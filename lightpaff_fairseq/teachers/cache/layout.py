"""The encoding of a predicted position in a cache; see also docs/cache.md.

Shape letters: N positions, n positions of a chunk, V vocabulary, k stored tokens. All numbers are
little-endian.

- Top-k (k < V): k token ids (2 bytes each, followed by k third bytes if V > 65,536), k codes of
  their probabilities and one of the mass of all others (2 bytes each). Code c stands for
  `exp(-c * 24 / 65535)`: the relative error is at most 1.9e-4, probabilities below e^-24 are stored
  as e^-24. A record takes 4 bytes per token (5 if V > 65,536), and 2.
- Draws: an entry of 3 bytes per distinct token of a position (`draws.py`); a record is one entry.
- Complete (k = V): V float32 without token ids, log-probabilities or the values of a regression.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...losses.dense import at_least_float32
from ...losses.model_output import ModelOutput
from .draws import ENTRY, encode_draws

Records = NDArray[Any]

DEEPEST = 24.0  # nats
STEPS = 65535
TOP_K, LPROBS, VALUES, DRAWS = "top-k", "log-probabilities", "values", "draws"
TWO_BYTES = 1 << 16
ROWS = 256  # positions encoded at once, to limit memory


@dataclass(frozen=True)
class Layout:
    """The content of a record.

    Attributes:
        content: `TOP_K`, `DRAWS`, `LPROBS` (complete) or `VALUES` (complete, of a regression).
        vocab: V; k: stored tokens, V if complete; of `DRAWS`, their number per position.
        temperature: of the probabilities.
    """

    content: str
    vocab: int
    k: int
    temperature: float

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype of a record."""
        if self.content == DRAWS:
            return ENTRY
        if self.content != TOP_K:
            return np.dtype([("value", "<f4", (self.vocab,))])
        high = [("high", "u1", (self.k,))] if self.vocab > TWO_BYTES else []
        low = ("low", "<u2", (self.k,))
        return np.dtype([low, *high, ("code", "<u2", (self.k,)), ("rest", "<u2")])

    def encode_draws(
        self, logits: Tensor, numbers: NDArray[np.float64]
    ) -> tuple[Records, NDArray[np.int64]]:
        """Draw from the teacher's logits `(n, V)`; see `draws.encode_draws`.

        Raises:
            ValueError: a value is NaN.
        """
        probs = self._tempered(at_least_float32(logits)).softmax(-1)
        _check_numbers(probs, allowed=None)
        return encode_draws(probs, numbers)

    def encode(self, logits: Tensor) -> Records:
        """Encode the teacher's logits `(n, V)` (values, for a regression) as records `(n,)`.

        Raises:
            ValueError: a value is NaN, which the codes cannot represent, or a value of a regression
                is infinite. A logit of -inf is a probability of 0.
        """
        logits = at_least_float32(logits)
        records = np.empty(len(logits), self.dtype)
        if self.content != TOP_K:
            values = logits if self.content == VALUES else self._tempered(logits).log_softmax(-1)
            _check_numbers(values, allowed=-torch.inf if self.content == LPROBS else None)
            records["value"] = values.cpu().numpy()
            return records
        probs = self._tempered(logits).softmax(-1)
        top, ids = probs.topk(self.k)
        _check_numbers(top, allowed=None)
        rest = probs.scatter_(-1, ids, 0.0).sum(-1)  # without the cancellation of 1 - sum(top)
        tokens = ids.cpu().numpy()
        records["low"] = tokens & (TWO_BYTES - 1)
        if self.vocab > TWO_BYTES:
            records["high"] = tokens >> 16
        records["code"], records["rest"] = _codes(top), _codes(rest)
        return records

    def _tempered(self, logits: Tensor) -> Tensor:
        return logits / self.temperature if self.temperature != 1 else logits

    def decode(self, records: Records) -> tuple[Tensor, Tensor]:
        """Decode top-k records.

        Returns:
            tokens `(n, k)` int64, and log-probabilities `(n, k + 1)` float32, of all others last,
            renormalized so that the probabilities of each row sum to 1.
        """
        ids = records["low"].astype(np.int64)
        if self.vocab > TWO_BYTES:
            ids |= records["high"].astype(np.int64) << 16
        codes = np.concatenate([records["code"], records["rest"][:, None]], axis=1)
        lprobs = torch.from_numpy(codes.astype(np.float32)).mul_(-DEEPEST / STEPS)
        return torch.from_numpy(ids), lprobs.log_softmax(-1)

    def values(self, records: Records) -> Tensor:
        """Decode complete records: `(n, V)` float32."""
        return torch.from_numpy(np.ascontiguousarray(records["value"]))


def draw_from(
    output: ModelOutput, numbers: NDArray[np.float64], counts: list[int], layout: Layout
) -> tuple[Records, list[int]]:
    """Draw from a teacher's output for a batch; return entries, and their number per sample.

    Args:
        numbers: `(N, draws)` in [0, 1); counts: of positions per sample.
    """
    records, lengths = [np.empty(0, layout.dtype)], [np.zeros(1, np.int64)]
    for start in range(0, len(numbers), ROWS):
        rows = slice(start, start + ROWS)
        entries, sizes = layout.encode_draws(output.logits(rows), numbers[rows])
        records.append(entries)
        lengths.append(sizes)
    before = np.concatenate(lengths).cumsum()  # entries before each position, and all
    return np.concatenate(records), np.diff(before[np.cumsum([0, *counts])]).tolist()


def _check_numbers(values: Tensor, allowed: float | None) -> None:
    """Raise ValueError unless `(n, any)` values are finite, or the one that is `allowed`."""
    valid = values.isfinite()
    if allowed is not None:
        valid |= values == allowed
    rows = valid.logical_not().any(-1)
    if rows.any():
        raise ValueError(
            "--path: expected finite outputs of the teacher, got NaN or infinity at "
            f"{int(rows.sum())} of {len(rows)} positions (a corrupt model, or overflow with --fp16)"
        )


def _codes(probs: Tensor) -> NDArray[Any]:
    depth = -probs.clamp_min(1e-30).log()
    codes: NDArray[Any] = (depth * (STEPS / DEEPEST)).round().clamp(0, STEPS).cpu().numpy()
    return codes.astype(np.uint16)
