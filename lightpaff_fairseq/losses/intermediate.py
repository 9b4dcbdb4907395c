"""Intermediate losses: distances of embeddings, hidden states, attentions and relations of layers.

    total = sum over losses  weight * sum over modules and layer pairs  distance(student, teacher)

A distance is a mean over a sentence's own positions (`features.py`), times the sentence's number of
labels: like the task loss, the total is a sum over labels, and splitting a batch or padding it
changes nothing. Modules are `encoder`, `decoder` and `cross`. Source: the unified framework of Lu
et al., arXiv 2206.14366, which calls these losses "knowledge types".
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import features
from .layer_map import Pairs
from .layers import LayerActivations, LayerStack, PaddingMasks


@dataclass(frozen=True)
class IntermediateSettings:
    """Names, weights and options of the intermediate losses in use.

    Attributes:
        weights: a weight above 0 for every loss in use, by its name in `INTERMEDIATE_LOSSES`.
        hidden_loss: key of `features.HIDDEN`.
        attention_loss: key of `features.ATTENTION`.
        relations: some of `features.RELATIONS`.
        relation_heads: number of heads for relations of queries, keys and values; 0: the greatest
            common divisor of the models' numbers of heads.
        pairs: matched (student, teacher) layers, 0-based, for every module in use.
    """

    weights: dict[str, float]
    hidden_loss: str
    attention_loss: str
    relations: tuple[str, ...]
    relation_heads: int
    pairs: dict[str, Pairs]

    @property
    def with_attention(self) -> bool:
        """True if attentions have to be recorded."""
        heads = {"query", "key", "value"} & set(self.relations)
        return "attention" in self.weights or ("relation" in self.weights and bool(heads))


class Projection(nn.Module):
    """A linear map from the student's to the teacher's width; identity if they are equal."""

    def __init__(self, width_s: int, width_t: int) -> None:
        super().__init__()
        self.linear = None if width_s == width_t else nn.Linear(width_s, width_t)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map `(B, T, C_s)` to `(B, T, C_t)`."""
        if self.linear is None:
            return hidden
        projected: Tensor = self.linear(hidden)
        return projected


class Recorded(NamedTuple):
    """The activations of one module in both models, for the same batch, and its padding."""

    student: LayerActivations
    teacher: LayerActivations
    masks: PaddingMasks


class IntermediateLoss(nn.Module, ABC):
    """One intermediate loss of one module, with its learned projections.

    Args:
        settings: of all losses.
        module: name of the module.
        student, teacher: the layers of that module.
    """

    def __init__(
        self, settings: IntermediateSettings, module: str, student: LayerStack, teacher: LayerStack
    ) -> None:
        super().__init__()
        self.settings, self.module_name = settings, module
        self.pairs = settings.pairs[module]
        self.heads = student.heads, teacher.heads
        self.projection = nn.ModuleList(
            Projection(student.width, teacher.width) for _ in range(self.count_projections())
        )

    def count_projections(self) -> int:
        """Return how many projections the loss needs."""
        return 0

    @abstractmethod
    def distances(self, recorded: Recorded) -> Iterator[Tensor]:
        """Yield one distance `(B,)` per pair of layers (and relation)."""

    def forward(self, recorded: Recorded) -> Tensor:
        """Return `(B,)`, the sum of all distances."""
        return torch.stack(list(self.distances(recorded))).sum(0)


class EmbeddingLoss(IntermediateLoss):
    """Mean squared difference of the inputs of the first layer."""

    def count_projections(self) -> int:
        return 1

    def distances(self, recorded: Recorded) -> Iterator[Tensor]:
        student, teacher = recorded.student.embedding, recorded.teacher.embedding
        mask = recorded.masks.states(self.module_name)
        assert student is not None and teacher is not None
        yield features.hidden_mse(self.projection[0](student), teacher, mask)


class HiddenLoss(IntermediateLoss):
    """Distance of the outputs of matched layers, by `--kd-hidden-loss`."""

    def count_projections(self) -> int:
        return len(self.pairs)

    def distances(self, recorded: Recorded) -> Iterator[Tensor]:
        distance = features.HIDDEN[self.settings.hidden_loss]
        mask = recorded.masks.states(self.module_name)
        for project, (s, t) in zip(self.projection, self.pairs, strict=True):
            yield distance(project(recorded.student.hidden[s]), recorded.teacher.hidden[t], mask)


class AttentionLoss(IntermediateLoss):
    """Distance of the attention scores of matched layers, by `--kd-attention-loss`."""

    def distances(self, recorded: Recorded) -> Iterator[Tensor]:
        distance = features.ATTENTION[self.settings.attention_loss]
        mask = recorded.masks.attention(self.module_name)
        student, teacher = recorded.student.attention, recorded.teacher.attention
        for s, t in self.pairs:
            yield distance(student[s].scores(), teacher[t].scores(), mask)


class RelationLoss(IntermediateLoss):
    """Distance of relations of tokens, channels, or queries, keys and values of matched layers."""

    def count_projections(self) -> int:
        return len(self.pairs) if "channel" in self.settings.relations else 0

    def distances(self, recorded: Recorded) -> Iterator[Tensor]:
        for relation in self.settings.relations:
            for match in range(len(self.pairs)):
                yield self._distance(relation, match, recorded)

    def _distance(self, relation: str, match: int, recorded: Recorded) -> Tensor:
        student, teacher, masks = recorded
        s, t = self.pairs[match]
        mask = masks.states(self.module_name)
        if relation == "token":
            return features.token_relation(student.hidden[s], teacher.hidden[t], mask)
        if relation == "channel":
            projected = self.projection[match](student.hidden[s])
            return features.channel_relation(projected, teacher.hidden[t], mask)
        heads_s, heads_t = (
            self._regroup(x.heads(relation)) for x in (student.attention[s], teacher.attention[t])
        )
        return features.head_relation(heads_s, heads_t, mask)

    def _regroup(self, heads: Tensor) -> Tensor:
        return features.regroup(heads, self.settings.relation_heads or math.gcd(*self.heads))


INTERMEDIATE_LOSSES: Mapping[str, type[IntermediateLoss]] = {
    "embedding": EmbeddingLoss,
    "hidden": HiddenLoss,
    "attention": AttentionLoss,
    "relation": RelationLoss,
}


class IntermediateLosses(nn.Module):
    """The intermediate losses in use, and their learned projections.

    As it is a submodule of the criterion, fairseq optimizes, saves and resumes its parameters, and
    they are not part of the student.

    Args:
        settings: its `weights` name the losses and its `pairs` the modules.
        student, teacher: the layers of each module of the models; only their sizes are read.
    """

    def __init__(
        self,
        settings: IntermediateSettings,
        student: Mapping[str, LayerStack],
        teacher: Mapping[str, LayerStack],
    ) -> None:
        super().__init__()
        self.settings = settings
        self.terms = nn.ModuleDict()  # a name in checkpoints
        for name in settings.weights:
            for module in settings.pairs:
                if module != "cross" or name == "attention":
                    loss = INTERMEDIATE_LOSSES[name]
                    self.terms[f"{name}_{module}"] = loss(
                        settings, module, student[module], teacher[module]
                    )

    def forward(
        self,
        student: Mapping[str, LayerActivations],
        teacher: Mapping[str, LayerActivations],
        masks: PaddingMasks,
        labels: Tensor,
    ) -> dict[str, Tensor]:
        """Compute every loss before its weight.

        Args:
            student, teacher: activations of each module, for the same batch.
            masks: true for tokens, false for padding.
            labels: `(B,)` number of labels of each sentence.
        Returns:
            a float32 scalar per loss, by name: the sum over labels.
        """
        totals = {x: labels.new_zeros((), dtype=torch.float32) for x in self.settings.weights}
        for key, loss in self.terms.items():
            name, module = key.split("_")
            values = loss(Recorded(student[module], teacher[module], masks))
            totals[name] = totals[name] + (values * labels).sum()
        return totals
