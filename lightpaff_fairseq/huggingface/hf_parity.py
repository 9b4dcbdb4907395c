"""Measure the largest difference between a fairseq model and its Hugging Face counterpart."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from ..checkpoints.building import build, heads_in
from . import fairseq_checkpoint
from .conversion import MODEL, RECORD
from .hf_folder import transformers_package

TOLERANCE = 1e-3  # of a logit; differences of right conversions are two orders below
SENTENCES, LONGEST = 3, 12
PAD, EOS, FIRST = 1, 2, 4


@dataclass(frozen=True)
class Batch:
    """Sentences of random tokens in fairseq's numbering, padded on the right.

    Attributes:
        tokens: `(B, T)`, each sentence closed by `</s>`.
        previous: `(B, T)` the same, shifted to the right behind `</s>`.
    """

    tokens: Tensor
    previous: Tensor


def sample_batch(symbols: int, longest: int, seed: int = 0) -> Batch:
    """Sample sentences of up to `longest` tokens; the only special one is the last `</s>`."""
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
    folder: Path, hf_model: Any, order: list[int], segment: int | None = None
) -> float:
    """Compare a converted folder with the Hugging Face model that it came from.

    Args:
        folder: what `to_fairseq` wrote.
        order: the Hugging Face id of each token.
        segment: the one that was folded in; None: the model's default.
    Returns:
        the largest absolute difference of a logit.
    """
    cfg, tensors = fairseq_checkpoint.load(folder / MODEL)
    task = fairseq_checkpoint.setup_task(cfg, folder)
    model = build(OmegaConf.create(cfg.model), task, heads_in(tensors), "fairseq").float()
    model.load_state_dict(tensors, strict=True, model_cfg=cfg.model)
    fairseq, hf = logits_of_both(model, hf_model, torch.tensor(order), segment)
    return float((fairseq - hf).abs().max())


def largest_difference(path: Path, data: Path | None, folder: Path) -> float:
    """Compare a fairseq checkpoint with the Hugging Face folder that was made of it.

    Args:
        path, data: as for `from_fairseq.write`; `folder`: what it wrote.
    Returns:
        the largest absolute difference of a log-probability.
    """
    source = fairseq_checkpoint.read(path, data)
    model = build(source.cfg.model, source.task, heads_in(source.tensors), "--from fairseq").float()
    model.load_state_dict(dict(source.tensors), strict=True, model_cfg=source.cfg.model)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    hf_class = getattr(transformers_package(), config["architectures"][0])
    hf_model = hf_class.from_pretrained(folder, local_files_only=True).eval().float()
    order = json.loads((folder / RECORD).read_text(encoding="utf-8"))["order"]
    fairseq, hf = logits_of_both(model, hf_model, torch.tensor(order))
    return float((fairseq.log_softmax(-1) - hf.log_softmax(-1)).abs().max())


def check_difference(difference: float, unit: str) -> None:
    """Refuse a converted model that computes something else.

    Raises:
        ValueError: the difference is not a number, or above `TOLERANCE`.
    """
    if not difference <= TOLERANCE:
        raise ValueError(
            f"the converted model differs: expected {unit} to differ by at most {TOLERANCE}, got "
            f"{difference:.2g}; nothing was written"
        )


@torch.no_grad()
def logits_of_both(
    model: Any, hf_model: Any, order: Tensor, segment: int | None = None
) -> tuple[Tensor, Tensor]:
    """Compute the logits of both models for the same sentences, in fairseq's order.

    Returns:
        `(N, V)` of each, without padding and tokens that only fairseq has; `(B, K)` of a
        classifier.
    """
    limit = model.max_positions()
    batch = sample_batch(len(order), int(min(limit) if isinstance(limit, tuple) else limit))
    head = next(iter(getattr(model, "classification_heads", {})), None)
    more = {} if segment is None else {"token_type_ids": torch.full_like(batch.tokens, segment)}
    fairseq = _fairseq_logits(model, batch, head)
    hf = _hf_logits(hf_model, batch, order, **more)
    if head is not None:
        return fairseq, hf
    known = order < hf.shape[-1]
    real = batch.tokens != PAD
    return fairseq[..., known][real], hf[..., order[known]][real]


def _fairseq_logits(model: Any, batch: Batch, head: str | None) -> Tensor:
    """Return logits `(B, T, V)`, or those of the classes `(B, K)`."""
    name = {} if head is None else {"classification_head_name": head}
    lengths = (batch.tokens != PAD).sum(1)
    if hasattr(model, "encoder") and hasattr(model, "decoder"):
        out = model(batch.tokens, lengths, batch.previous, **name)
    else:
        out = model(batch.tokens, **name)
    logits: Tensor = out[0]
    return logits.float()


def _hf_logits(hf_model: Any, batch: Batch, order: Tensor, **more: Tensor) -> Tensor:
    """Return logits in Hugging Face's numbering; `more` goes to the model as it is."""
    config = hf_model.config
    inputs: dict[str, Any] = {"input_ids": order[batch.tokens], **more}
    inputs["attention_mask"] = (batch.tokens != PAD).long()
    if getattr(config, "is_encoder_decoder", False) or config.model_type in ("bart", "fsmt"):
        previous = order[batch.previous]
        if config.model_type == "marian":
            previous[:, 0] = int(config.decoder_start_token_id)
        # with a cache, FSMT takes its input for one step and masks nothing
        inputs |= {"decoder_input_ids": previous, "use_cache": False}
    logits: Tensor = hf_model(**inputs).logits
    return logits.float()
