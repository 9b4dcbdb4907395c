"""All that distillation adds to a criterion, as one object that the criterion holds."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from ..losses.dense import LossSettings, LossTerms, dense_distillation_loss
from ..losses.fused import fused_distillation_loss
from ..losses.intermediate import IntermediateLosses
from ..losses.layers import LayerActivations, PaddingMasks
from ..losses.model_output import LinearOutput, ModelOutput
from ..losses.schedules import TemperatureSchedule
from ..losses.top_k import TopKOutput
from ..models.activations import ActivationRecorder
from ..models.outputs import has_raw_logits, is_separable
from ..protocols import Prediction, Sample, Task
from ..teachers.base import Teacher, build_teacher
from .config import DistillationConfig, weight_schedules
from .layer_matching import match_layers

logger = logging.getLogger(__name__)


class Activations(NamedTuple):
    """What student and teacher computed of one batch, by module."""

    student: dict[str, LayerActivations]
    teacher: dict[str, LayerActivations]


class Distiller(nn.Module):
    """Settings, weights, teacher and matched layers of one training.

    fairseq optimizes, saves and resumes the learned projections of `intermediate`, because they
    are parameters of a submodule of the criterion. The teacher is not a submodule.

    Args:
        cfg: the --kd-* flags, checked.
        prediction: of the criterion; settings: of its loss.
    Raises:
        ValueError: --kd-schedule or --kd-schedule-updates is malformed.
    """

    teacher: Teacher | None
    intermediate: IntermediateLosses | None
    num_updates: Callable[[], int]

    def __init__(
        self, cfg: DistillationConfig, prediction: Prediction, settings: LossSettings
    ) -> None:
        super().__init__()
        self.cfg, self.prediction, self.settings = cfg, prediction, settings
        self.schedules = weight_schedules(cfg)
        self.temperature = TemperatureSchedule(
            str(cfg.kd_temperature_schedule),
            cfg.kd_temperature,
            cfg.kd_temperature_beta,
            cfg.kd_temperature_gamma,
        )
        self.teacher, self.intermediate = None, None
        self.num_updates = lambda: 0  # until the trainer tells

    @property
    def is_active(self) -> bool:
        """True if any weight is above 0."""
        return any(schedule.weight > 0 for schedule in self.schedules.values())

    def weight(self, name: str) -> float:
        """Return `lambda`, or the weight of an intermediate loss, at the present update."""
        return self.schedules[name](self.num_updates())

    def prepare(self, student: nn.Module, task: Task) -> None:
        """Load the teacher, check it, and match its layers.

        Raises:
            ValueError: there is no teacher, or it cannot teach this student.
        """
        if not is_separable(student):
            logger.info(
                f"dense distillation loss: {type(student).__name__} has no output layer that can "
                "be applied chunk by chunk, so all logits are kept"
            )
        teacher = build_teacher(self.cfg, self.prediction, task)
        teacher.prepare(student)
        if self.temperature.name == "flsw":
            _check_raw_logits(student, teacher.model)
        if len(self.schedules) > 1:
            assert teacher.model is not None  # `check_config` saw to it
            intermediate = match_layers(self.cfg, student, teacher.model)
            self.intermediate = intermediate.to(next(student.parameters()))
        self.teacher = teacher

    def soft_targets(
        self, student: nn.Module, sample: Sample, positions: Tensor
    ) -> ModelOutput | TopKOutput:
        """Return the teacher's output at the N chosen `positions` `(B, T)` (bool)."""
        assert self.teacher is not None
        return self.teacher.soft_targets(student, sample, positions)

    def output_loss(self, student: nn.Module, sample: Sample, positions: Tensor) -> LossTerms:
        """Return task and soft loss, summed over the N chosen `positions` `(B, T)` (bool)."""
        teacher = self.soft_targets(student, sample, positions)
        output = self.prediction.compute_output(student, sample, positions)
        target = sample["target"][positions]
        settings = replace(self.settings, kd_lambda=self.weight("lambda"))
        if isinstance(output, LinearOutput) and self.temperature.name == "constant":
            return fused_distillation_loss(output, teacher, target, settings)
        logits_s = output.logits()
        if isinstance(teacher, TopKOutput):
            return dense_distillation_loss(logits_s, teacher, target, settings)
        logits_t = teacher.logits()
        settings = replace(settings, temperature=self.temperature(logits_s, logits_t))
        return dense_distillation_loss(logits_s, logits_t, target, settings)

    @contextmanager
    def record(self, student: nn.Module) -> Iterator[Activations | None]:
        """Record what the intermediate losses need while student and teacher run; else None."""
        if self.intermediate is None:
            yield None
            return
        assert self.teacher is not None and self.teacher.model is not None
        settings = self.intermediate.settings
        modules = tuple(settings.pairs), settings.with_attention
        with (
            ActivationRecorder(student, *modules) as of_student,
            ActivationRecorder(self.teacher.model, *modules) as of_teacher,
        ):
            yield Activations(of_student, of_teacher)

    def intermediate_losses(
        self, activations: Activations | None, sample: Sample
    ) -> dict[str, Tensor]:
        """Return a scalar per intermediate loss before its weight, summed over labels."""
        if self.intermediate is None or activations is None:
            return {}
        labels = self.prediction.label_positions(sample).sum(1)
        return self.intermediate(*activations, self._masks(sample), labels)  # type: ignore[no-any-return]

    def _masks(self, sample: Sample) -> PaddingMasks:
        """Return which tokens are real, in the modules whose input the batch has."""
        inputs, pad = sample["net_input"], self.prediction.padding_idx
        source = inputs["src_tokens"].ne(pad)
        target = inputs.get("prev_output_tokens")  # none: only one module, whichever it is
        return PaddingMasks(encoder=source, decoder=source if target is None else target.ne(pad))


def _check_raw_logits(student: nn.Module, teacher: nn.Module | None) -> None:
    for who, model in (("student", student), ("teacher", teacher)):
        if model is not None and not has_raw_logits(model):
            raise ValueError(
                f"--kd-temperature-schedule flsw compares logits, but the {who} has only "
                "probabilities (adaptive softmax); use cwsm or constant"
            )
