"""The criterion `kd_lu`: classification and regression of sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fairseq.criterions import register_criterion
from fairseq.criterions.sentence_prediction import (
    SentencePredictionConfig,
    SentencePredictionCriterion,
)
from torch import Tensor, nn

from ..losses.dense import soft_loss
from ..losses.model_output import LogitsOutput, ModelOutput
from ..losses.top_k import TopKOutput
from ..models.outputs import record_output
from .config import DistillationConfig, divergence
from .distillation import DistillationMixin


@dataclass
class KdSentencePredictionConfig(DistillationConfig, SentencePredictionConfig):
    """Flags of `kd_lu`."""


@register_criterion("kd_lu", dataclass=KdSentencePredictionConfig)
class KdSentencePredictionCriterion(DistillationMixin, SentencePredictionCriterion):
    """Language understanding (classification, regression): every sentence, over its classes.

    The soft loss of a classifier is `T^2 * KL(teacher || student)`, summed over classes; that of a
    regression is the squared difference of the two predictions (temperature has no meaning there).
    Source: LightPAFF, the LU row of its two losses.
    """

    extra_metrics = ("kd_loss", "label_loss")
    teacher_sees_labels = False

    def compute_output(
        self, model: nn.Module, sample: dict[str, Any], positions: Tensor
    ) -> ModelOutput:
        """Class logits `(B, V)`; all sentences count, `positions` is not used."""
        name = self.classification_head_name
        logits = model(**sample["net_input"], features_only=True, classification_head_name=name)[0]
        return LogitsOutput(logits)

    def label_positions(self, sample: dict[str, Any]) -> Tensor:
        """`(B, 1)` bool: every sentence is one position."""
        tokens = sample["net_input"]["src_tokens"]
        return torch.ones_like(tokens[:, :1], dtype=torch.bool)

    def join(self, members: Sequence[ModelOutput]) -> ModelOutput:
        """The mean of probabilities; of a regression, of the predictions."""
        if not self.regression_target:
            return super().join(members)
        return LogitsOutput(torch.stack([x.logits() for x in members]).mean(0))

    def distill(self, model: nn.Module, sample: dict[str, Any]) -> Any:
        """The stock forward, and the soft loss from the logits that it computed."""
        assert self._teacher is not None
        positions = self.label_positions(sample)
        teacher = self._teacher.soft_targets(model, sample, positions)
        assert not isinstance(teacher, TopKOutput)  # all classes are kept
        logits_t = teacher.logits()
        with record_output(model) as outputs:
            label_loss, sample_size, log = super(DistillationMixin, self).forward(model, sample)
        kd_loss = self._soft_loss(outputs[0][0], logits_t)
        weight = self.weight("lambda")
        loss = (1 - weight) * label_loss + weight * kd_loss
        log.update(
            loss=loss.data,
            label_loss=label_loss.data,
            kd_loss=kd_loss.data,
            kd_positions=sample_size,
        )
        return loss, sample_size, log

    def _soft_loss(self, logits_s: Tensor, logits_t: Tensor) -> Tensor:
        """Sum over sentences, in nats (classes) or squared units (regression)."""
        if self.regression_target:
            return (logits_s.float() - logits_t.float()).square().sum()
        temperature = self.temperature(logits_s, logits_t)
        return soft_loss(logits_s, logits_t, temperature, divergence(self.kd)).sum()

    def check_teacher(self, model: nn.Module, path: str) -> None:
        name, classes = self.classification_head_name, self.task.cfg.num_classes
        heads = getattr(model, "classification_heads", {})
        found = {key: head.out_proj.out_features for key, head in heads.items()}
        if found.get(name) != classes:
            raise ValueError(
                f"--kd-teacher {path}: kd_lu needs a teacher with classification "
                f"head {name!r} of --num-classes {classes}; found "
                + (", ".join(f"{k!r} of {n}" for k, n in found.items()) or "no head")
            )
