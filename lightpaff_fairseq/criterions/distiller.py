"""The `Distiller` of a criterion: settings, teacher, soft and intermediate losses."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from torch import Tensor, nn

from ..losses.dense import LossSettings, LossTerms, dense_distillation_loss
from ..losses.fused import fused_distillation_loss
from ..losses.fused_triton import case_of
from ..losses.intermediate import IntermediateLosses
from ..losses.kernel_choice import describe, triton_problem
from ..losses.label_positions import LabelPositions
from ..losses.layers import LayerActivations, PaddingMasks
from ..losses.mapped import MappedOutput, mapped_distillation_loss
from ..losses.model_output import LinearOutput, ModelOutput
from ..losses.position_selection import DeferredOutput, complete_output
from ..losses.position_selection import Teacher as TeacherOutput
from ..losses.sampled import SPARSE, SampledOutput, SoftTargets
from ..losses.schedules import TemperatureSchedule
from ..models.activations import ActivationRecorder
from ..models.outputs import has_raw_logits, is_separable
from ..protocols import ON_POLICY, Prediction, Sample, Task
from ..teachers.base import Teacher, build_teacher
from ..teachers.output_checks import output_problem, zero_problem
from ..teachers.prepared_batch import positions_of
from .config import DistillationConfig, weight_schedules
from .layer_matching import match_layers
from .loss_watch import LossWatch
from .on_policy import OnPolicy

Activations = dict[str, LayerActivations]  # by module
logger = logging.getLogger(__name__)


class Distiller(nn.Module):
    """Settings, weights, teacher and matched layers of one training run.

    fairseq optimizes, saves and resumes the learned projections of `intermediate`, because they
    are parameters of a submodule of the criterion. The teacher is not a submodule.

    Args:
        cfg: the --kd-* flags, checked.
        prediction: of the criterion; settings: of its loss.
    Raises:
        ValueError: --kd-schedule or --kd-schedule-updates is malformed.
    """

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
        self.teacher: Teacher | None = None
        self.intermediate: IntermediateLosses | None = None
        self.on_policy: OnPolicy | None = None
        self.num_updates: Callable[[], int] = lambda: 0  # set before training
        self.losses = LossWatch()
        self.says_kernel = True

    @property
    def is_active(self) -> bool:
        """True if any weight is above 0."""
        return any(schedule.weight > 0 for schedule in self.schedules.values())

    def weight(self, name: str) -> float:
        """Return `lambda`, or the weight of an intermediate loss, at the current update."""
        return self.schedules[name](self.num_updates())

    def prepare(self, student: nn.Module, task: Task) -> None:
        """Load the teacher, check it, and match its layers.

        Raises:
            ValueError: there is no teacher, it cannot teach this student, or the student is of
                another family than the criterion.
        """
        self.prediction.check_student(student)
        self._check_kernel(student)
        if not is_separable(student):
            logger.info(
                f"dense distillation loss: {type(student).__name__} has no output layer that can "
                "be applied chunk by chunk, so all logits are kept"
            )
        compares = len(self.schedules) > 1
        teacher = build_teacher(self.cfg, self.prediction, task, self.settings, compares)
        teacher.prepare(student)
        if teacher.model is not None:
            self._check_temperature(student=student, teacher=teacher.model)
            if compares:
                intermediate = match_layers(self.cfg, student, teacher.model)
                self.intermediate = intermediate.to(next(student.parameters()))
        if self.cfg.kd_on_policy:
            self.on_policy = OnPolicy(self.cfg, student, task, self.num_updates)
        self.teacher = teacher

    def _check_kernel(self, student: nn.Module) -> None:
        """Check before the first update that `--kd-kernel triton` can run."""
        if self.cfg.kd_kernel != "triton":
            return
        weight = next(student.parameters())
        problem = triton_problem(weight.device, weight.dtype)
        if not is_separable(student):
            problem = f"expected an output layer in chunks, which {type(student).__name__} lacks"
        if problem:
            raise ValueError(f"--kd-kernel triton: {problem}")

    def _check_temperature(self, **models: nn.Module) -> None:
        for who, model in models.items():
            if self.temperature.name == "flsw" and not has_raw_logits(model):
                raise ValueError(
                    f"--kd-temperature-schedule flsw compares logits, but the {who} has only "
                    "probabilities (adaptive softmax); use cwsm or constant"
                )

    def soft_targets(
        self, student: nn.Module, sample: Sample, positions: LabelPositions
    ) -> TeacherOutput | MappedOutput:
        """Return the teacher's output at the positions that have a label."""
        assert self.teacher is not None
        return self.teacher.soft_targets(student, sample, positions)

    def output_loss(
        self, student: nn.Module, sample: Sample, positions: LabelPositions
    ) -> LossTerms:
        """Return task and soft loss, summed over the positions that have a label."""
        teacher = self.soft_targets(student, sample, positions)
        output = self.prediction.compute_output(student, sample, positions)
        weight = 1.0 if ON_POLICY in sample else self.weight("lambda")
        settings = replace(self.settings, kd_lambda=weight)
        return self._loss_terms(output, teacher, positions.take(sample["target"]), settings)

    def _loss_terms(
        self,
        output: ModelOutput,
        teacher: TeacherOutput | MappedOutput,
        target: Tensor,
        settings: LossSettings,
    ) -> LossTerms:
        if isinstance(teacher, MappedOutput):
            return mapped_distillation_loss(output.logits(), teacher, target, settings)
        if isinstance(output, LinearOutput) and self.temperature.name == "constant":
            self._log_kernel(output, teacher, settings)
            return fused_distillation_loss(output, teacher, target, settings)
        teacher = complete_output(teacher, target)
        logits_s = output.logits()
        if isinstance(teacher, SPARSE):
            return dense_distillation_loss(logits_s, teacher, target, settings)
        logits_t = teacher.logits()
        settings = replace(settings, temperature=self.temperature(logits_s, logits_t))
        return dense_distillation_loss(logits_s, logits_t, target, settings)

    def _log_kernel(
        self, output: LinearOutput, teacher: TeacherOutput, settings: LossSettings
    ) -> None:
        """Say once what computes the fused loss; a batch without labels says nothing."""
        if self.says_kernel and len(output.hidden):
            self.says_kernel = False
            words = "PyTorch (--kd-select)"
            if isinstance(teacher, SampledOutput):
                words = "PyTorch (sampled teacher)"
            elif not isinstance(teacher, DeferredOutput) and settings.selection is None:
                words = describe(settings.kernel, case_of(output, teacher, settings))
            logger.info(f"distillation loss: {words}")

    def check_soft_losses(self, student: nn.Module) -> None:
        """Check that the teacher is no reason for a soft loss that is known and not finite.

        Raises:
            ValueError: names the teacher. A student's own overflow is left to fairseq.
        """
        for sample in self.losses.not_finite():
            positions = positions_of(sample, self.prediction)
            teacher = self.soft_targets(student, sample, positions)
            if isinstance(teacher, MappedOutput):
                teacher = teacher.output
            elif isinstance(teacher, DeferredOutput):
                teacher = complete_output(teacher, positions.take(sample["target"]))
            self._check_output(teacher)

    def _check_output(self, teacher: SoftTargets) -> None:
        assert self.teacher is not None
        names, divergence = self.teacher.names, self.settings.divergence
        is_regression = self.prediction.is_regression
        problem = output_problem(teacher, names, is_regression)
        if problem is None and not is_regression:
            problem = zero_problem(teacher, names, divergence, self.temperature.name)
        if problem is not None:
            raise ValueError(problem)

    @contextmanager
    def record(self, student: nn.Module) -> Iterator[tuple[Activations, Activations] | None]:
        """Record the activations of student and teacher, or yield None if no loss needs them."""
        if self.intermediate is None or self.teacher is None or self.teacher.model is None:
            yield None
            return
        settings = self.intermediate.settings
        modules, with_attention = tuple(settings.pairs), settings.with_attention
        with (
            ActivationRecorder(student, modules, with_attention) as of_student,
            ActivationRecorder(self.teacher.model, modules, with_attention) as of_teacher,
        ):
            yield of_student, of_teacher

    def intermediate_losses(
        self, recorded: tuple[Activations, Activations] | None, sample: Sample
    ) -> dict[str, Tensor]:
        """Return a scalar per intermediate loss, before its weight, summed over labels."""
        if self.intermediate is None or recorded is None:
            return {}
        inputs, pad = sample["net_input"], self.prediction.padding_idx
        source = inputs["src_tokens"].ne(pad)
        target = inputs.get("prev_output_tokens")  # None: encoder-only or decoder-only
        masks = PaddingMasks(source, source if target is None else target.ne(pad))
        labels = positions_of(sample, self.prediction).mask.sum(1)
        losses: dict[str, Tensor] = self.intermediate(*recorded, masks, labels)
        return losses
