"""Distances of the sentence embeddings of student and teacher, one value per sentence.

All compute in float32 and compare directions only: embeddings are divided by their length. Shape
letters: B sentences, C width; `_s` student, `_t` teacher.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dense import at_least_float32


def cosine_distance(embedding_s: Tensor, embedding_t: Tensor) -> Tensor:
    """Return `1 - cosine` of two `(B, C)`: `(B,)`, 0 to 2.

    It is half the squared distance of the two normalized embeddings, so there is no loss `mse`.
    """
    with torch.autocast(embedding_s.device.type, enabled=False):
        normalized_s, normalized_t = (
            F.normalize(at_least_float32(x), dim=-1) for x in (embedding_s, embedding_t)
        )
        return 1 - (normalized_s * normalized_t).sum(-1)


def similarity_divergence(embedding_s: Tensor, embedding_t: Tensor, temperature: float) -> Tensor:
    """Return KL(teacher || student) of each sentence's similarities to the others of the batch.

    The similarities are cosines, divided by the temperature and normalized by a softmax over the
    other B - 1 sentences: a sentence's similarity to itself is 1 in every model and says nothing.

    Args:
        embedding_s, embedding_t: `(B, C)`, each of its own width.
    Returns:
        `(B,)`, in nats, without a factor of temperature squared; 0 where B is 1.
    Source: the relations of a sentence to others, as in CompRess (arXiv 2010.14713).
    """
    if len(embedding_s) == 1:
        return 0 * embedding_s.float().sum(-1)
    with torch.autocast(embedding_s.device.type, enabled=False):
        lprobs_s, lprobs_t = (_to_others(x, temperature) for x in (embedding_s, embedding_t))
        return (lprobs_t.exp() * (lprobs_t - lprobs_s)).sum(-1)


def margin_error(embedding_s: Tensor, embedding_t: Tensor) -> Tensor:
    """Return the squared error of each sentence's margins over the other pairs of the batch.

    A margin is the cosine of a sentence with the other one of its pair (a query with its passage)
    minus that with the same side of another pair. The error is the mean over the other pairs.

    Args:
        embedding_s, embedding_t: `(2 N, C)` of N pairs, first and second sentences in turn, each
            of its own width.
    Returns:
        `(2 N,)`, 0 to 16; 0 where N is 1.
    Source: Margin-MSE (arXiv 2010.02666), with the batch's other pairs as negatives.
    """
    count = len(embedding_s) // 2
    with torch.autocast(embedding_s.device.type, enabled=False):
        margins_s, margins_t = (_margins(x) for x in (embedding_s, embedding_t))
        return (margins_s - margins_t).square().sum(-1) / max(1, count - 1)


def _margins(embedding: Tensor) -> Tensor:
    """Return `(2 N, N)` margins over each pair, 0 over a sentence's own."""
    first, second = (
        F.normalize(at_least_float32(embedding), dim=-1).view(-1, 2, embedding.size(-1)).unbind(1)
    )
    cosines = first @ second.T
    own = cosines.diagonal().unsqueeze(-1)
    return torch.stack([own - cosines, own - cosines.T], dim=1).flatten(0, 1)


def _to_others(embedding: Tensor, temperature: float) -> Tensor:
    """Return `(B, B - 1)` log-probabilities of the other sentences."""
    normalized = F.normalize(at_least_float32(embedding), dim=-1)
    cosines = normalized @ normalized.T
    others = ~torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    return F.log_softmax(cosines[others].view(len(cosines), -1) / temperature, dim=-1)


class OrthonormalProjection(nn.Module):
    """A learned linear map to a larger width that keeps all lengths and cosines.

    Its columns are orthonormal, so a student that was compared with its teacher behind this map
    has the same cosines without it: nothing is lost when it is thrown away after training.

    Args:
        width_s, width_t: of student and teacher, `width_s <= width_t`.
    """

    def __init__(self, width_s: int, width_t: int) -> None:
        super().__init__()
        self.free = nn.Parameter(torch.randn(width_t, width_s))

    def forward(self, embedding: Tensor) -> Tensor:
        """Map `(B, C_s)` to `(B, C_t)`, in float32."""
        with torch.autocast(embedding.device.type, enabled=False):
            columns, triangle = torch.linalg.qr(at_least_float32(self.free))
            # Signs are LAPACK's choice: with a positive diagonal the map is a continuous function
            columns = columns * triangle.diagonal().sign()
            mapped: Tensor = at_least_float32(embedding) @ columns.T
            return mapped
