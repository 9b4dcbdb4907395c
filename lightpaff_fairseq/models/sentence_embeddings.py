"""The embedding of a sentence: the outputs of an encoder, pooled over its tokens.

Shape letters: B sentences, T tokens, C width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from fairseq.data import data_utils
from torch import Tensor, nn

from ..checkpoints.building import value_of
from .outputs import unwrapped


def trained_pooling(cfg: Any) -> str | None:
    """Return the pooling that a checkpoint was trained for by `kd_embed`; None: by another one."""
    criterion = value_of(cfg, "criterion")
    return str(criterion.kd_pooling) if value_of(criterion, "_name") == "kd_embed" else None


def pool(features: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Return `(B, C)` of the outputs `(B, T, C)`, in their dtype.

    Args:
        mask: `(B, T)`, true for tokens, false for padding.
        pooling: one of `POOLINGS`.
    """
    if pooling == "first":
        return features[:, 0]
    kept = mask.unsqueeze(-1).to(features.dtype)
    return (features * kept).sum(1) / kept.sum(1)


def embed(model: nn.Module, tokens: Tensor, pad: int, pooling: str) -> Tensor:
    """Return the embeddings `(B, C)` of sentences, before any normalization.

    Args:
        model: a `roberta` or `bert`, possibly wrapped for data-parallel training.
        tokens: `(B, T)`, padded on the right with `pad`.
    """
    features = model(tokens, features_only=True)[0]
    return pool(features, tokens.ne(pad), pooling)


def split_sentences(tokens: Tensor, dictionary: Any) -> tuple[Tensor, list[int]]:
    """Split samples of `sentence_prediction` into their sentences.

    A pair `<s> A </s> B </s>`, or `<s> A </s> </s> B </s>`, becomes `<s> A </s>` and `<s> B </s>`,
    as two files of single sentences would be read.

    Args:
        tokens: `(B, T)`, padded.
    Returns:
        `(sentences, T')` tokens, in order, and the number of sentences of each sample.
    """
    pad, bos, eos = dictionary.pad(), dictionary.bos(), dictionary.eos()
    sentences: list[list[int]] = []
    counts = []
    for row in tokens.tolist():
        own = _split([token for token in row if token != pad], bos, eos)
        sentences += own
        counts.append(len(own))
    collated: Tensor = data_utils.collate_tokens([torch.tensor(x) for x in sentences], pad)
    return collated.to(tokens.device), counts


def _split(row: Sequence[int], bos: int, eos: int) -> list[list[int]]:
    """Return the sentences of one sample without padding, each with `bos`; at least one."""
    sentences: list[list[int]] = []
    current = [bos]
    for token in row[row[0] == bos :]:
        current.append(token)
        if token == eos:
            if len(current) > 2 or not sentences:  # else the second of two separators
                sentences.append(current)
            current = [bos]
    if len(current) > 1:  # shortened by --shorten-method
        sentences.append(current)
    return sentences


def embedding_width(model: nn.Module) -> int:
    """Return C of a `roberta` or `bert`."""
    encoder: Any = unwrapped(model).encoder
    width: int = encoder.sentence_encoder.embed_tokens.embedding_dim
    return width
