"""MASS samples: a text with a masked fragment for the encoder, that fragment for the decoder.

Shape letters: n tokens of a sample, m of them maskable, k masked; B batch, S longest source, T
longest target. Source: MASS (arXiv 1905.02450), section 3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fairseq.data import Dictionary, FairseqDataset, data_utils
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]
MASK_SYMBOL = "<mask>"
PADDING_SYMBOL = "madeupword"  # fairseq-preprocess fills a dictionary up with these


@dataclass(frozen=True)
class MaskPolicy:
    """The masking of a sample.

    Attributes:
        ratio: part of the maskable tokens that is masked, in (0, 1].
        window: one fragment in every `window` tokens; 0 = one fragment per sample.
        replace: probabilities, summing to 1, that the encoder sees instead of a masked token: the
            mask symbol, a random other symbol, the token itself.
        placement: where a fragment starts: `uniform`, or `mass` (20 % at the beginning, 20 % at
            the end, 60 % uniform).
        seed: masks are a function of (seed, epoch, index) and of nothing else.
    """

    ratio: float
    window: int
    replace: tuple[float, float, float]
    placement: str
    seed: int


@dataclass(frozen=True)
class Symbols:
    """Dictionary indices that masking needs; `ordinary` is sorted and may replace any token."""

    pad: int
    eos: int
    mask: int
    ordinary: Indices

    @classmethod
    def of(cls, dictionary: Dictionary) -> "Symbols":
        """Return the indices in a dictionary that holds the mask symbol."""
        mask = dictionary.indices[MASK_SYMBOL]
        ordinary = [
            index
            for index in range(dictionary.nspecial, len(dictionary))
            if index != mask and not dictionary.symbols[index].startswith(PADDING_SYMBOL)
        ]
        return cls(dictionary.pad(), dictionary.eos(), mask, np.array(ordinary, dtype=np.int64))


def maskable_length(tokens: Indices, eos: int) -> int:
    """Return how many leading tokens may be masked: all but a closing eos, unless it is alone."""
    return len(tokens) - 1 if len(tokens) > 1 and tokens[-1] == eos else len(tokens)


def masked_positions(length: int, policy: MaskPolicy, rng: np.random.Generator) -> Indices:
    """Draw `(k,)` ascending positions below `length` (>= 1): one fragment in every window."""
    window = policy.window or length
    starts = range(0, length, window)
    fragments = [s + _fragment(min(window, length - s), policy, rng) for s in starts]
    return np.concatenate(fragments)


def _fragment(size: int, policy: MaskPolicy, rng: np.random.Generator) -> Indices:
    """Draw consecutive positions within `size` tokens: the ratio rounded half up, at least 1."""
    length = min(size, max(1, math.floor(policy.ratio * size + 0.5)))
    last_start = size - length
    draw = rng.random() if policy.placement == "mass" else 1.0
    if draw < 0.2:
        start = 0
    elif draw < 0.4:
        start = last_start
    else:
        start = int(rng.integers(last_start + 1))
    return np.arange(start, start + length)


def corrupted(
    tokens: Indices,
    positions: Indices,
    symbols: Symbols,
    policy: MaskPolicy,
    rng: np.random.Generator,
) -> Indices:
    """Return the encoder's input: `(n,)` tokens with those at `positions` `(k,)` replaced.

    Each is replaced on its own. A random replacement is never the token itself, so that a masked
    token is visible only where "keep" was drawn.
    """
    choice = rng.choice(3, size=len(positions), p=policy.replace)
    masked, drawn = positions[choice == 0], positions[choice == 1]
    result = tokens.copy()
    result[masked] = symbols.mask
    result[drawn] = _other_symbols(tokens[drawn], symbols.ordinary, rng)
    return result


def _other_symbols(tokens: Indices, ordinary: Indices, rng: np.random.Generator) -> Indices:
    """Draw for each token an ordinary symbol, uniformly, that is not this token."""
    rank = np.searchsorted(ordinary, tokens)
    inside = ordinary[np.minimum(rank, len(ordinary) - 1)] == tokens
    drawn = rng.integers(0, len(ordinary) - inside, size=len(tokens))
    other: Indices = ordinary[drawn + (inside & (drawn >= rank))]
    return other


class MaskedSeq2SeqDataset(FairseqDataset):
    """MASS samples made from blocks of a monolingual text.

    An item has `source` `(n,)` and, for each of its k masked positions p, `target` x_p,
    `prev_output_tokens` x_(p-1) (eos where p is 0) and `positions` pad + 1 + p, the number that
    fairseq gives to position p of an unmasked sentence. Batch sizes are those of the sources: they
    are the same in every epoch, masks are not.
    """

    def __init__(
        self, blocks: Sequence[Tensor], sizes: Indices, symbols: Symbols, policy: MaskPolicy
    ) -> None:
        """
        Args:
            blocks: item i is a `(sizes[i],)` int64 tensor, closed by eos or not.
            sizes: numbers of tokens; blocks of none are left out of every batch.
        """
        super().__init__()
        self.blocks = blocks
        self.sizes = sizes
        self.symbols = symbols
        self.policy = policy
        self.epoch = 1

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """False: workers hold a copy of this data set, and with it the epoch they started in."""
        return False

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> dict[str, Any]:
        tokens = self.blocks[index].numpy()
        rng = np.random.default_rng((self.policy.seed, self.epoch, int(index)))
        length = maskable_length(tokens, self.symbols.eos)
        positions = masked_positions(length, self.policy, rng)
        source = corrupted(tokens, positions, self.symbols, self.policy, rng)
        previous = np.concatenate(([self.symbols.eos], tokens[:-1]))
        return {
            "id": int(index),
            "source": torch.from_numpy(source),
            "target": torch.from_numpy(tokens[positions]),
            "prev_output_tokens": torch.from_numpy(previous[positions]),
            "positions": torch.from_numpy(self.symbols.pad + 1 + positions),
        }

    def __len__(self) -> int:
        return len(self.sizes)

    def collater(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Pad items to a batch, longest source first.

        Returns:
            `id` `(B,)`; `nsentences`; `ntokens`, the number of targets; `target` `(B, T)`;
            `net_input` with `src_tokens` `(B, S)`, padded on the left, `src_lengths` `(B,)`,
            `prev_output_tokens` and `positions` `(B, T)`. Padding is the pad symbol's index
            everywhere, on the right but for the source. Empty for no samples.
        """
        if not samples:
            return {}
        samples = sorted(samples, key=lambda sample: -len(sample["source"]))
        return {
            "id": torch.tensor([sample["id"] for sample in samples]),
            "nsentences": len(samples),
            "ntokens": sum(len(sample["target"]) for sample in samples),
            "net_input": {
                "src_tokens": self._padded(samples, "source"),
                "src_lengths": torch.tensor([len(sample["source"]) for sample in samples]),
                "prev_output_tokens": self._padded(samples, "prev_output_tokens"),
                "positions": self._padded(samples, "positions"),
            },
            "target": self._padded(samples, "target"),
        }

    def _padded(self, samples: list[dict[str, Any]], key: str) -> Tensor:
        values = [sample[key] for sample in samples]
        pad = self.symbols.pad
        padded: Tensor = data_utils.collate_tokens(values, pad, left_pad=key == "source")
        return padded

    def num_tokens(self, index: int) -> int:
        return int(self.sizes[index])

    def num_tokens_vec(self, indices: Indices) -> Indices:
        sizes: Indices = self.sizes[indices]
        return sizes

    def size(self, index: int) -> tuple[int, int]:
        """Return the source's tokens twice: the decoder's positions reach as far as they do."""
        return int(self.sizes[index]), int(self.sizes[index])

    def filter_indices_by_size(self, indices: Indices, max_sizes: Any) -> Any:
        """Return the indices of samples within both limits, and the list of the others."""
        return data_utils.filter_paired_dataset_indices_by_size(
            self.sizes, self.sizes, indices, max_sizes
        )

    def ordered_indices(self) -> Indices:
        """Sort by size, in random order (numpy's, which fairseq seeds) where sizes are equal."""
        indices = np.random.permutation(np.flatnonzero(self.sizes))
        ordered: Indices = indices[np.argsort(self.sizes[indices], kind="stable")]
        return ordered

    @property
    def supports_prefetch(self) -> bool:
        return getattr(self.blocks, "supports_prefetch", False)

    def prefetch(self, indices: Any) -> None:
        self.blocks.prefetch(indices)  # type: ignore[attr-defined]
