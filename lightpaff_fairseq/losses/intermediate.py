"""Knowledge beside the logits: embeddings, hidden states, attentions and relations of layers.

    total = sum over kinds  weight * sum over matched layers and sides  distance(student, teacher)

A distance is a mean over a sentence's own positions (`features.py`), times the sentence's number of
labels: like the label loss, the total is a sum over labels, and splitting a batch or padding it
changes nothing. Source: the unified framework of Lu et al., arXiv 2206.14366.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import features
from .layers import AttentionActivations, LayerActivations, LayerStack

Pairs = tuple[tuple[int, int], ...]
KINDS = ("embedding", "hidden", "attention", "relation")


@dataclass(frozen=True)
class IntermediateSettings:
    """Which knowledge is transferred, and how.

    Attributes:
        weights: a weight above 0 for every kind in use.
        hidden_loss: `mse`, `cosine` or `pkd`; attention_loss: `mse`, `mse_sum`, `ce`, `ce_mean`.
        relations: some of `query`, `key`, `value`, `token`, `channel`.
        relation_heads: into how many heads queries, keys and values are regrouped; 0: the common
            number of heads, or where student and teacher differ their greatest common divisor.
        pairs: matched (student, teacher) layers, 0-based, of every side in use.
    """

    weights: dict[str, float]
    hidden_loss: str
    attention_loss: str
    relations: tuple[str, ...]
    relation_heads: int
    pairs: dict[str, Pairs]

    @property
    def with_attention(self) -> bool:
        """Whether attentions have to be recorded."""
        heads = {"query", "key", "value"} & set(self.relations)
        return "attention" in self.weights or ("relation" in self.weights and bool(heads))


@dataclass(frozen=True)
class Masks:
    """True where a token is real: `(B, S)` of the encoder, `(B, T)` of the decoder, if any."""

    encoder: Tensor | None
    decoder: Tensor | None

    def states(self, side: str) -> Tensor:
        """`(B, T)` for the states of a side."""
        mask = self.encoder if side == "encoder" else self.decoder
        assert mask is not None
        return mask

    def attention(self, side: str) -> Tensor:
        """`(B, T, S)` for the attentions of a side; the decoder's own look back only."""
        keys = self.states("encoder" if side == "cross" else side)
        pairs = features.pair_mask(self.states(side), keys)
        return pairs.tril() if side == "decoder" else pairs


class Projection(nn.Module):
    """A learned linear map from the student's width to the teacher's; nothing if they are equal."""

    def __init__(self, width_s: int, width_t: int) -> None:
        super().__init__()
        self.linear = None if width_s == width_t else nn.Linear(width_s, width_t)

    def forward(self, hidden: Tensor) -> Tensor:
        """`(B, T, C_s) -> (B, T, C_t)`."""
        if self.linear is None:
            return hidden
        projected: Tensor = self.linear(hidden)
        return projected


class Term(nn.Module):
    """One kind of knowledge on one side; `forward` gives `(B,)`, summed over the matched layers.

    Args:
        settings: of all kinds.
        pairs: matched layers of this side.
        student, teacher: the stacks of this side.
    """

    def __init__(
        self, settings: IntermediateSettings, pairs: Pairs, student: LayerStack, teacher: LayerStack
    ) -> None:
        super().__init__()
        self.settings = settings
        self.pairs = pairs
        self.widths = student.width, teacher.width
        self.heads = student.heads, teacher.heads

    def projections(self, count: int) -> nn.ModuleList:
        """A projection for each of `count` uses."""
        return nn.ModuleList(Projection(*self.widths) for _ in range(count))


class EmbeddingTerm(Term):
    """What enters the first layer: mean squared difference."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.projection = self.projections(1)

    def forward(
        self, student: LayerActivations, teacher: LayerActivations, side: str, masks: Masks
    ) -> Tensor:
        assert student.embedding is not None and teacher.embedding is not None
        projected = self.projection[0](student.embedding)
        return features.hidden_mse(projected, teacher.embedding, masks.states(side))


class HiddenTerm(Term):
    """What matched layers hand on, by `--kd-hidden-loss`."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.projection = self.projections(len(self.pairs))
        self.distance = features.HIDDEN[self.settings.hidden_loss]

    def forward(
        self, student: LayerActivations, teacher: LayerActivations, side: str, masks: Masks
    ) -> Tensor:
        mask = masks.states(side)
        return _sum(
            self.distance(project(student.hidden[s]), teacher.hidden[t], mask)
            for project, (s, t) in zip(self.projection, self.pairs, strict=True)
        )


class AttentionTerm(Term):
    """Attention scores of matched layers, by `--kd-attention-loss`."""

    def forward(
        self, student: LayerActivations, teacher: LayerActivations, side: str, masks: Masks
    ) -> Tensor:
        distance = features.ATTENTION[self.settings.attention_loss]
        mask = masks.attention(side)
        return _sum(
            distance(student.attention[s].scores(), teacher.attention[t].scores(), mask)
            for s, t in self.pairs
        )


class RelationTerm(Term):
    """Relations between tokens, channels, or the queries, keys and values of matched layers."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        channels = "channel" in self.settings.relations
        self.projection = self.projections(len(self.pairs) if channels else 0)
        self.count = self.settings.relation_heads or math.gcd(*self.heads)

    def forward(
        self, student: LayerActivations, teacher: LayerActivations, side: str, masks: Masks
    ) -> Tensor:
        mask = masks.states(side)
        return _sum(
            self._relation(kind, match, student, teacher, mask)
            for kind in self.settings.relations
            for match in range(len(self.pairs))
        )

    def _relation(
        self,
        kind: str,
        match: int,
        student: LayerActivations,
        teacher: LayerActivations,
        mask: Tensor,
    ) -> Tensor:
        s, t = self.pairs[match]
        if kind == "token":
            return features.token_relation(student.hidden[s], teacher.hidden[t], mask)
        if kind == "channel":
            projected = self.projection[match](student.hidden[s])
            return features.channel_relation(projected, teacher.hidden[t], mask)
        heads_s, heads_t = (
            self._regrouped(kind, x) for x in (student.attention[s], teacher.attention[t])
        )
        return features.head_relation(heads_s, heads_t, mask)

    def _regrouped(self, kind: str, attention: AttentionActivations) -> Tensor:
        return features.regrouped(attention.heads(kind), self.count)


TERMS: dict[str, Callable[..., Term]] = {
    "embedding": EmbeddingTerm,
    "hidden": HiddenTerm,
    "attention": AttentionTerm,
    "relation": RelationTerm,
}


class IntermediateLosses(nn.Module):
    """All terms in use, and their learned projections.

    A sub-module of the criterion: fairseq optimizes, saves and resumes its parameters with it, and
    the student's checkpoint holds none of them.

    Args:
        settings: what is transferred; its `pairs` name the sides.
        student, teacher: the layer stacks of the models, by side; only their sizes are read.
    """

    def __init__(
        self,
        settings: IntermediateSettings,
        student: Mapping[str, LayerStack],
        teacher: Mapping[str, LayerStack],
    ) -> None:
        super().__init__()
        self.settings = settings
        self.terms = nn.ModuleDict()
        for kind in settings.weights:
            for side, pairs in settings.pairs.items():
                if side != "cross" or kind == "attention":
                    term = TERMS[kind](settings, pairs, student[side], teacher[side])
                    self.terms[f"{kind}_{side}"] = term

    def forward(
        self,
        student: dict[str, LayerActivations],
        teacher: dict[str, LayerActivations],
        masks: Masks,
        labels: Tensor,
    ) -> dict[str, Tensor]:
        """Every kind's loss before its weight, summed over labels.

        Args:
            student, teacher: traces of the same batch.
            masks: which tokens are real.
            labels: `(B,)` number of labels of each sentence.
        Returns:
            a scalar a kind, in float32.
        """
        totals = {kind: labels.new_zeros((), dtype=torch.float32) for kind in self.settings.weights}
        for name, term in self.terms.items():
            kind, side = name.split("_")
            values = term(student[side], teacher[side], side, masks)
            totals[kind] = totals[kind] + (values * labels).sum()
        return totals


def _sum(values: object) -> Tensor:
    return torch.stack(list(values)).sum(0)  # type: ignore[call-overload]
