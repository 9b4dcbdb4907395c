"""The largest difference between a fairseq model and its Hugging Face counterpart."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from ..checkpoints.building import build, heads_in
from . import fairseq_checkpoint as checkpoint

TOLERANCE = 1e-3  # of a logit; what is measured is two orders less
SENTENCES, LONGEST = 3, 12
PAD, EOS, FIRST = 1, 2, 4


@dataclass(frozen=True)
class Batch:
    """Sentences of random symbols in fairseq's numbering, padded on the right.

    Attributes:
        tokens: `(B, T)`, each sentence closed by `</s>`; `previous`: the same, shifted to the
            right behind `</s>`.
    """

    tokens: Tensor
    previous: Tensor


def sample_batch(symbols: int, longest: int, seed: int = 0) -> Batch:
    """Sentences of up to `longest` symbols; no specials but the last, no padding inside."""
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
    return Batch(tokens, previous)


def largest_logit_difference(
    folder: Path, source: Any, order: list[int], segment: int | None = None
) -> float:
    """The largest absolute difference of a logit.

    Args:
        folder: what was converted; `source`: a `huggingface.Source`.
        order: the Hugging Face id of each symbol.
        segment: the one that was folded in; None: the model's default.
    """
    cfg, tensors = checkpoint.load(folder / "model.pt")
    task = checkpoint.set_up(cfg, folder)
    model = build(OmegaConf.create(cfg.model), task, heads_in(tensors), "fairseq").float()
    model.load_state_dict(tensors, strict=True, model_cfg=cfg.model)
    theirs = source.model.float()
    ours, found = compared(model, theirs, source.config, torch.tensor(order), segment)
    return float((ours - found).abs().max())


@torch.no_grad()
def compared(
    model: Any,
    theirs: Any,
    config: dict[str, Any],
    order: Tensor,
    segment: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The logits of both models for the same sentences, in fairseq's order, without padding.

    Returns:
        two tensors `(N, V)`, symbols that only fairseq has left out; `(B, K)` of a classifier.
    """
    limit = model.max_positions()
    batch = sample_batch(len(order), int(min(limit) if isinstance(limit, tuple) else limit))
    heads = getattr(model, "classification_heads", {})
    head = next(iter(heads), None)
    more = {} if segment is None else {"token_type_ids": torch.full_like(batch.tokens, segment)}
    ours = our_logits(model, batch, head)
    found = their_logits(theirs, config, batch, order, **more)
    if head is not None:
        return ours, found
    known = order < found.shape[-1]
    real = batch.tokens != PAD
    return ours[..., known][real], found[..., order[known]][real]


def our_logits(model: Any, batch: Batch, head: str | None) -> Tensor:
    """fairseq's logits `(B, T, V)`, or of the classes `(B, K)`."""
    name = {} if head is None else {"classification_head_name": head}
    lengths = (batch.tokens != PAD).sum(1)
    if hasattr(model, "encoder") and hasattr(model, "decoder"):
        out = model(batch.tokens, lengths, batch.previous, **name)
    else:
        out = model(batch.tokens, **name)
    logits: Tensor = out[0]
    return logits.float()


def their_logits(
    theirs: Any, config: dict[str, Any], batch: Batch, order: Tensor, **more: Tensor
) -> Tensor:
    """The logits of transformers' model, in its own numbering; `more` goes to it as it is."""
    tokens = order[batch.tokens]
    mask = (batch.tokens != PAD).long()
    more["attention_mask"] = mask
    if config.get("is_encoder_decoder") or config["model_type"] in ("bart", "fsmt"):
        previous = order[batch.previous]
        if config["model_type"] == "marian":
            previous[:, 0] = int(config["decoder_start_token_id"])
        more["decoder_input_ids"] = previous
        # with a cache, FSMT takes its input for one step and masks nothing
        logits: Tensor = theirs(input_ids=tokens, use_cache=False, **more).logits
        return logits.float()
    logits = theirs(input_ids=tokens, **more).logits
    return logits.float()
