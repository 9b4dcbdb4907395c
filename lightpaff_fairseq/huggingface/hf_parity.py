"""Measure the largest difference between a fairseq model and its Hugging Face counterpart.

Each model gets what its own side reads of the same texts, see `text_parity`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .fairseq_text import Reading

TOLERANCE = 1e-3  # of a logit; differences of right conversions are two orders below
SENTENCES, LONGEST = 3, 12
PAD, EOS, FIRST = 1, 2, 4
RANDOM = "random tokens"

ReadingPair = tuple[Reading, Reading]  # fairseq's, in its ids, and transformers', in its own


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        difference: the largest absolute difference of an output; outputs: `logits` or, of an
            encoder without a head, `hidden states`.
        inputs: what both models read, as `3 texts`, or `random tokens`.
        notes: what the user should know.
    """

    difference: float
    inputs: str
    outputs: str = "logits"
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the comparison in words."""
        ids = "" if self.inputs == RANDOM else ", the same ids on both sides"
        return f"{self.inputs}{ids}; {self.outputs} differ by at most {self.difference:.1e}"

    def check(self) -> None:
        """Raise ValueError if a converted model disagrees with its source.

        Raises:
            ValueError: the difference is not a number, or above `TOLERANCE`.
        """
        if not self.difference <= TOLERANCE:
            raise ValueError(
                f"the converted model differs: expected {self.outputs} to differ by at most "
                f"{TOLERANCE} on {self.inputs}, got {self.difference:.2g}; nothing was written"
            )


def compare_logits(
    models: tuple[Any, Any],
    order: Sequence[int],
    pairs: Sequence[ReadingPair],
    segment: int | None = None,
) -> Comparison:
    """Compare the logits of fairseq's model and transformers'.

    Args:
        models: both, in float32.
        order: the Hugging Face id of each token.
        pairs: what both sides read of the same texts; empty: random tokens.
        segment: the one that was folded into the positions; None: as read.
    """
    inputs = f"{len(pairs)} text{'s' if len(pairs) > 1 else ''}" if pairs else RANDOM
    fairseq, hf = logits_of_both(
        models, torch.tensor(order), pairs or _random_pairs(models[0], order), segment
    )
    outputs = "hidden states" if is_bare(models[1]) else "logits"
    return Comparison(float((fairseq - hf).abs().max()), inputs, outputs)


def sample_batch(symbols: int, longest: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Sample sentences of random tokens in fairseq's numbering, padded on the right.

    Returns:
        `(B, T)` tokens, each sentence closed by `</s>`; `(B, T)` the same, shifted to the right
        behind `</s>`.
    """
    generator = torch.Generator().manual_seed(seed)
    length = max(2, min(LONGEST, longest))
    tokens = torch.randint(FIRST, symbols, (SENTENCES, length), generator=generator)
    for i in range(SENTENCES):
        end = max(1, length - 1 - 2 * i)
        tokens[i, end] = EOS
        tokens[i, end + 1 :] = PAD
    previous = tokens.roll(1, dims=1)
    previous[:, 0] = EOS
    previous[tokens == PAD] = PAD
    return tokens, previous


def _random_pairs(model: Any, order: Sequence[int]) -> list[ReadingPair]:
    """Return random sentences in the ids of both sides."""
    limit = model.max_positions()
    longest = int(min(limit) if isinstance(limit, tuple) else limit)
    batches = sample_batch(len(order), longest)
    lists = ([row[row != PAD].tolist() for row in batch] for batch in batches)
    rows = [Reading(*row) for row in zip(*lists, strict=True)]
    hf = ([[order[i] for i in ids] for ids in (row.source, row.decoder)] for row in rows)
    return [(row, Reading(*ids)) for row, ids in zip(rows, hf, strict=True)]


def is_bare(hf_model: Any) -> bool:
    """Return true if a transformers model is an encoder without a head."""
    return hasattr(hf_model, "embeddings")


@torch.no_grad()
def logits_of_both(
    models: tuple[Any, Any],
    order: Tensor,
    pairs: Sequence[ReadingPair],
    segment: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the logits of both models, in fairseq's order; see `compare_logits`.

    Returns:
        `(N, V)` of each, without padding and tokens that only fairseq has; `(B, K)` of a
        classifier; hidden states `(N, C)` of an encoder without a head.
    """
    (model, hf_model), (readings, hf_readings) = models, zip(*pairs, strict=True)
    tokens = _padded([reading.source for reading in readings], PAD)
    head = next(iter(getattr(model, "classification_heads", {})), None)
    name: dict[str, Any] = {} if head is None else {"classification_head_name": head}
    name = {"features_only": True} if is_bare(hf_model) else name
    real = tokens != PAD
    if hasattr(model, "encoder") and hasattr(model, "decoder"):
        previous = _padded([reading.decoder for reading in readings], PAD)
        fairseq = model(tokens, real.sum(1), previous, **name)[0].float()
        real = previous != PAD
    else:
        fairseq = model(tokens, **name)[0].float()
    hf = _hf_logits(hf_model, hf_readings, int(order[PAD]), segment)
    if is_bare(hf_model):
        return fairseq[real], hf[real]
    if head is not None:
        return fairseq, hf
    known = order < hf.shape[-1]
    return fairseq[..., known][real], hf[..., order[known]][real]


def _hf_logits(hf_model: Any, readings: Sequence[Reading], pad: int, segment: int | None) -> Tensor:
    """Return logits in Hugging Face's numbering, or hidden states of an encoder without a head."""
    tokens = _padded([reading.source for reading in readings], pad)
    lengths = torch.tensor([len(reading.source) for reading in readings])
    mask = torch.arange(tokens.shape[1]) < lengths[:, None]
    inputs: dict[str, Any] = {"input_ids": tokens, "attention_mask": mask.long()}
    if segment is not None:
        inputs["token_type_ids"] = torch.full_like(tokens, segment)
    elif any(reading.segments for reading in readings):
        inputs["token_type_ids"] = _padded([x.segments or [0] for x in readings], 0, len(tokens[0]))
    if getattr(hf_model.config, "is_encoder_decoder", False):
        # with a cache, FSMT takes its input for one step and masks nothing
        previous = _padded([reading.decoder for reading in readings], pad)
        inputs |= {"decoder_input_ids": previous, "use_cache": False}
    output = hf_model(**inputs)
    logits: Tensor = output.last_hidden_state if is_bare(hf_model) else output.logits
    return logits.float()


def _padded(rows: Sequence[Sequence[int]], pad: int, length: int = 0) -> Tensor:
    """Return `(B, T)` of rows of ids, padded on the right to the longest or to `length`."""
    length = max(length, *map(len, rows))
    return torch.tensor([[*row, *[pad] * (length - len(row))] for row in rows])
