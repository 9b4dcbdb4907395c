"""The criterion `kd_lu`: classification and regression of sentences."""

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
from ..losses.label_positions import LabelPositions
from ..losses.mapped import MappedOutput
from ..losses.model_output import LogitsOutput, ModelOutput
from ..losses.position_selection import DeferredOutput
from ..losses.sampled import SPARSE
from ..models.outputs import record_output
from ..protocols import Prediction, Sample
from ..teachers.prepared_batch import positions_of
from .config import DistillationConfig
from .distillation import DistillationMixin, Losses


@dataclass
class KdSentencePredictionConfig(DistillationConfig, SentencePredictionConfig):
    """Flags of `kd_lu`."""


@dataclass(frozen=True)
class SentencePrediction:
    """Predict a class, or a number, per sentence; see `protocols.Prediction`.

    Attributes:
        head: name of the classification head; classes: number of its outputs.
    """

    padding_idx: int
    head: str
    classes: int
    is_regression: bool
    ignore_prefix_size: int = 0
    masks_differ_by_epoch: bool = False
    output_depends_on_labels: bool = False

    def compute_output(
        self, model: nn.Module, sample: Sample, positions: LabelPositions
    ) -> ModelOutput:
        inputs = sample["net_input"]
        logits = model(**inputs, features_only=True, classification_head_name=self.head)[0]
        return LogitsOutput(logits)  # (B, V): all sentences count

    def label_positions(self, sample: Sample) -> Tensor:
        tokens = sample["net_input"]["src_tokens"]
        return torch.ones_like(tokens[:, :1], dtype=torch.bool)  # a sentence is one position

    def check_student(self, model: nn.Module) -> None:
        """Accept every model: the task gives it its classification head."""

    def check_teacher(self, model: nn.Module, named: str) -> None:
        heads: Any = getattr(model, "classification_heads", {})  # none: not a classifier
        classes = {name: head.out_proj.out_features for name, head in heads.items()}
        if classes.get(self.head) != self.classes:
            raise ValueError(
                f"{named}: kd_lu needs a teacher with classification "
                f"head {self.head!r} of --num-classes {self.classes}; got "
                + (", ".join(f"{name!r} of {n}" for name, n in classes.items()) or "no head")
            )


@register_criterion("kd_lu", dataclass=KdSentencePredictionConfig)
class KdSentencePredictionCriterion(DistillationMixin, SentencePredictionCriterion):
    """Language understanding (classification, regression): every sentence, over its classes.

    The soft loss of a classifier is `T^2 * KL(teacher || student)`, summed over classes; that of a
    regression is the squared difference of the two predictions (temperature has no meaning there).
    Source: LightPAFF, the LU row of its two losses.
    """

    extra_metrics = ("kd_loss", "label_loss")
    labels_are_tokens = False

    def build_prediction(self, cfg: Any) -> Prediction:
        return SentencePrediction(
            self.padding_idx,
            self.classification_head_name,
            self.task.cfg.num_classes,
            bool(self.regression_target),
        )

    def distill(self, model: nn.Module, sample: Sample) -> Losses:
        """Run the stock forward, and compute the soft loss from its logits."""
        distiller = self.distiller
        positions = positions_of(sample, distiller.prediction)
        teacher = distiller.soft_targets(model, sample, positions)
        # all classes are kept
        assert not isinstance(teacher, (*SPARSE, DeferredOutput, MappedOutput))
        with record_output(model) as outputs:
            task_loss, sample_size, log = super(DistillationMixin, self).forward(model, sample)
        kd_loss = self._soft_loss(outputs[0][0], teacher.logits())
        weight = distiller.weight("lambda")
        log.update(label_loss=task_loss.data, kd_loss=kd_loss.data, kd_positions=sample_size)
        return (1 - weight) * task_loss + weight * kd_loss, sample_size, log

    def _soft_loss(self, logits_s: Tensor, logits_t: Tensor) -> Tensor:
        """Return the sum over sentences, in nats (classes) or squared units (regression)."""
        if self.regression_target:
            return (logits_s.float() - logits_t.float()).square().sum()
        temperature = self.distiller.temperature(logits_s, logits_t)
        divergence = self.distiller.settings.divergence
        return soft_loss(logits_s, logits_t, temperature, divergence).sum()
