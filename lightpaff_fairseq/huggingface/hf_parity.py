"""Measure the largest difference between a fairseq model and its Hugging Face counterpart."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from ..checkpoints.building import build, heads_in
from ..json_files import read_json
from . import fairseq_checkpoint
from .conversion import RECORD
from .hf_folder import transformers_package

TOLERANCE = 1e-3  # of a logit; differences of right conversions are two orders below
SENTENCES, LONGEST = 3, 12
PAD, EOS, FIRST = 1, 2, 4


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
    cfg, tensors = fairseq_checkpoint.load(folder)
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
    config = read_json(folder / "config.json")
    hf_class = getattr(transformers_package(), config["architectures"][0])
    hf_model = hf_class.from_pretrained(folder, local_files_only=True).eval().float()
    order = read_json(folder / RECORD)["order"]
    fairseq, hf = logits_of_both(model, hf_model, torch.tensor(order))
    if not is_bare(hf_model):
        fairseq, hf = fairseq.log_softmax(-1), hf.log_softmax(-1)
    return float((fairseq - hf).abs().max())


def check_difference(difference: float, unit: str) -> None:
    """Raise ValueError if a converted model disagrees with its source.

    Raises:
        ValueError: the difference is not a number, or above `TOLERANCE`.
    """
    if not difference <= TOLERANCE:
        raise ValueError(
            f"the converted model differs: expected {unit} to differ by at most {TOLERANCE}, got "
            f"{difference:.2g}; nothing was written"
        )


def is_bare(hf_model: Any) -> bool:
    """Return true if a transformers model is an encoder without a head."""
    return hasattr(hf_model, "embeddings")


@torch.no_grad()
def logits_of_both(
    model: Any, hf_model: Any, order: Tensor, segment: int | None = None
) -> tuple[Tensor, Tensor]:
    """Compute the logits of both models for the same sentences, in fairseq's order.

    Returns:
        `(N, V)` of each, without padding and tokens that only fairseq has; `(B, K)` of a
        classifier; hidden states `(N, C)` of an encoder without a head.
    """
    limit = model.max_positions()
    longest = int(min(limit) if isinstance(limit, tuple) else limit)
    tokens, previous = sample_batch(len(order), longest)
    head = next(iter(getattr(model, "classification_heads", {})), None)
    name: dict[str, Any] = {} if head is None else {"classification_head_name": head}
    name |= {"features_only": True} if is_bare(hf_model) else {}
    if hasattr(model, "encoder") and hasattr(model, "decoder"):
        fairseq = model(tokens, (tokens != PAD).sum(1), previous, **name)[0].float()
    else:
        fairseq = model(tokens, **name)[0].float()
    inputs = {"input_ids": order[tokens], "attention_mask": (tokens != PAD).long()}
    if segment is not None:
        inputs["token_type_ids"] = torch.full_like(tokens, segment)
    hf = _hf_logits(hf_model, inputs, order[previous])
    if head is not None:
        return fairseq, hf
    real = tokens != PAD
    if is_bare(hf_model):
        return fairseq[real], hf[real]
    known = order < hf.shape[-1]
    return fairseq[..., known][real], hf[..., order[known]][real]


def _hf_logits(hf_model: Any, inputs: dict[str, Any], previous: Tensor) -> Tensor:
    """Return logits in Hugging Face's numbering, or hidden states of an encoder without a head.

    An encoder takes no `previous` tokens.
    """
    config = hf_model.config
    if getattr(config, "is_encoder_decoder", False) or config.model_type in ("bart", "fsmt"):
        if config.model_type == "marian":
            previous[:, 0] = int(config.decoder_start_token_id)
        # with a cache, FSMT takes its input for one step and masks nothing
        inputs |= {"decoder_input_ids": previous, "use_cache": False}
    output = hf_model(**inputs)
    logits: Tensor = output.last_hidden_state if is_bare(hf_model) else output.logits
    return logits.float()
