"""What every distillation criterion shares: the one place where --kd-* flags take effect.

A criterion is a stock criterion behind `DistillationMixin`. In validation, or with every weight 0,
the stock criterion runs untouched. In training the loss is

    (1 - lambda) * label loss + lambda * T^2 * D(teacher^(1/T), student^(1/T)) + knowledge terms

summed over the vocabulary and over positions (fairseq divides once, by `sample_size`); D is
KL(teacher || student) unless --kd-divergence says otherwise.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ..losses.dense import LossSettings, LossTerms, dense_distillation_loss
from ..losses.fused import fused_distillation_loss
from ..losses.intermediate import IntermediateLosses, PaddingMasks
from ..losses.model_output import LinearOutput, ModelOutput
from ..losses.schedules import TemperatureSchedule, WeightSchedule
from ..losses.top_k import TopKOutput
from ..models.activations import ActivationRecorder, layer_stacks
from ..teachers.base import cached_teacher, online_teacher, say_if_dense
from ..teachers.cached import CachedTeacher
from ..teachers.online import OnlineTeacher
from .config import divergence, weight_schedules
from .config_checks import check_config
from .layer_matching import intermediate_settings
from .metrics import log_metrics
from .prediction import Prediction

logger = logging.getLogger(__name__)


class DistillationMixin(Prediction):
    """Adds the soft loss to the stock criterion that stands behind it in the class's bases.

    It defines no `__init__`: fairseq fills a criterion's arguments from the signature it finds,
    which must stay the stock one.
    """

    kd_weights: dict[str, WeightSchedule]  # of `lambda` and of every kind of knowledge
    num_updates: Callable[[], int]
    starts_afresh: bool
    knowledge: IntermediateLosses | None
    _teacher: OnlineTeacher | CachedTeacher | None

    @classmethod
    def build_criterion(cls, cfg: Any, task: Any) -> Any:
        """The stock criterion plus the --kd-* settings.

        Raises:
            ValueError: a --kd-* value is out of range.
        """
        check_config(cfg)
        criterion = super().build_criterion(cfg, task)  # type: ignore[misc]
        criterion.kd = cfg
        criterion.kd_weights = weight_schedules(cfg)
        criterion.num_updates = lambda: 0
        criterion.starts_afresh = False
        criterion.knowledge = None
        criterion._teacher = None
        return criterion

    def before_training(
        self, student: nn.Module, num_updates: Callable[[], int], starts_afresh: bool = False
    ) -> None:
        """Loads and checks the teacher (`trainer_hooks` calls this before the first update).

        Args:
            student: the model in training.
            num_updates: tells how many updates are done, for weights that change.
            starts_afresh: whether the optimizer starts anew, so that projections may too.
        Raises:
            ValueError: there is no teacher, or it cannot be used.
        """
        if not self.distills or self._teacher is not None:
            return
        self.num_updates, self.starts_afresh = num_updates, starts_afresh
        say_if_dense(student)
        if self.kd.kd_cache is not None:
            self._teacher = cached_teacher(self, student)
            return
        teacher = online_teacher(self, student)
        if len(self.kd_weights) > 1:
            settings = intermediate_settings(self.kd, student, teacher.model)
            knowledge = IntermediateLosses(
                settings, layer_stacks(student), layer_stacks(teacher.model)
            )
            self.knowledge = knowledge.to(next(student.parameters()))
        self._teacher = teacher

    def begin_epoch(self, epoch: int, split: str) -> None:
        """Tell the teacher which epoch begins (`trainer_hooks` calls this, the data loaded).

        Raises:
            ValueError: a cache is not one of these data, or does not hold this epoch.
        """
        if self._teacher is not None:
            self._teacher.begin_epoch(epoch, split)

    def forward(self, model: nn.Module, sample: dict[str, Any], reduce: bool = True) -> Any:
        """Loss (nats, summed), divisor and logging output, as every fairseq criterion."""
        if not self.training or not self.distills:  # type: ignore[attr-defined]
            return super().forward(model, sample, reduce=reduce)  # type: ignore[misc]
        self.before_training(model, self.num_updates)
        if self.knowledge is None:
            return self.distill(model, sample)
        assert isinstance(self._teacher, OnlineTeacher)
        settings = self.knowledge.settings
        modules, attention = tuple(settings.pairs), settings.with_attention
        with (
            ActivationRecorder(model, modules, attention) as student,
            ActivationRecorder(self._teacher.model, modules, attention) as teacher,
        ):
            loss, sample_size, log = self.distill(model, sample)
        labels = self.labels_per_sentence(sample)
        terms = self.knowledge(student, teacher, self._masks(sample["net_input"]), labels)
        for kind, value in terms.items():
            loss = loss + self.weight(kind) * value
            log[f"kd_{kind}"] = value.data
        log["loss"] = loss.data
        return loss, sample_size, log

    def load_state_dict(self, state_dict: Any, strict: bool = True) -> Any:
        """Loads the projections of a run that is resumed.

        fairseq also hands over the state of the stage before (`--finetune-from-model`), which may
        hold none, or others: then those of this run start afresh.

        Raises:
            ValueError: a resumed run had other terms, or another teacher.
        """
        given = {name: tuple(x.shape) for name, x in (state_dict or {}).items()}
        own = {name: tuple(x.shape) for name, x in self.state_dict().items()}  # type: ignore[attr-defined]
        if given == own:
            return super().load_state_dict(state_dict, strict)  # type: ignore[misc]
        if self.starts_afresh:
            logger.info("the checkpoint holds no projections of these terms: they start afresh")
            return None
        raise ValueError(
            f"resuming with other --kd-... terms or another teacher: the checkpoint has "
            f"projections {given}, this run {own}; resume with the same flags, or --reset-optimizer"
        )

    @property
    def distills(self) -> bool:
        """Whether anything is distilled at all."""
        return self.kd.kd_lambda > 0 or len(self.kd_weights) > 1

    def weight(self, name: str) -> float:
        """`lambda`, or the weight of a kind of knowledge, at the present update."""
        return self.kd_weights[name](self.num_updates())

    def temperature(self, logits_s: Tensor, logits_t: Tensor) -> float | Tensor:
        """By --kd-temperature-schedule a number, or `(N,)` from `(N, V)` logits."""
        kd = self.kd
        schedule = TemperatureSchedule(
            kd.kd_temperature_schedule,
            kd.kd_temperature,
            kd.kd_temperature_beta,
            kd.kd_temperature_gamma,
        )
        return schedule(logits_s, logits_t)

    def _masks(self, net_input: dict[str, Tensor]) -> PaddingMasks:
        """Which tokens are real, on the sides that a model's input has."""
        source = net_input["src_tokens"].ne(self.padding_idx)  # type: ignore[attr-defined]
        if "prev_output_tokens" in net_input:
            target = net_input["prev_output_tokens"].ne(self.padding_idx)  # type: ignore[attr-defined]
            return PaddingMasks(encoder=source, decoder=target)
        return PaddingMasks(encoder=source, decoder=source)  # one side only, whichever it is

    def distill(self, model: nn.Module, sample: dict[str, Any]) -> Any:
        """`forward` of a training step, for models that predict symbols at positions."""
        assert self._teacher is not None
        positions = self.label_positions(sample)
        teacher = self._teacher.soft_targets(model, sample, positions)
        student = self.compute_output(model, sample, positions)
        terms = self._loss(student, teacher, sample["target"][positions])
        sample_size = self.sample_size(sample)
        return terms.loss, sample_size, self._logging_output(sample, sample_size, terms, positions)

    def _loss(
        self, student: ModelOutput, teacher: ModelOutput | TopKOutput, target: Tensor
    ) -> LossTerms:
        settings = LossSettings(
            self.weight("lambda"),
            self.kd.kd_temperature,
            getattr(self, "eps", 0.0),
            self.kd.kd_chunk_tokens,
            divergence(self.kd),
            getattr(self, "report_accuracy", False),
        )
        if isinstance(student, LinearOutput) and self.kd.kd_temperature_schedule == "constant":
            return fused_distillation_loss(student, teacher, target, settings)
        logits_s = student.logits()
        if isinstance(teacher, TopKOutput):
            return dense_distillation_loss(logits_s, teacher, target, settings)
        logits_t = teacher.logits()
        settings = replace(settings, temperature=self.temperature(logits_s, logits_t))
        return dense_distillation_loss(logits_s, logits_t, target, settings)

    def _logging_output(
        self, sample: dict[str, Any], sample_size: Any, terms: LossTerms, positions: Tensor
    ) -> dict[str, Any]:
        output = {
            "loss": terms.loss.data,
            "nll_loss": terms.nll_loss,
            "kd_loss": terms.kd_loss,
            "kd_positions": positions.sum(),
            "ntokens": sample["ntokens"],
            "nsentences": sample["nsentences"],
            "sample_size": sample_size,
        }
        if getattr(self, "report_accuracy", False):
            output["n_correct"] = terms.n_correct
            output["total"] = output["kd_positions"]
        return output

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict[str, Any]]) -> None:
        """The stock metrics, plus `kd_loss`: bits a predicted position, before its weight; and a
        scalar `kd_<kind>` for every kind of knowledge, a label, before its weight.

        Where the stock criterion would take `ppl` from the mixed loss, `nll_loss` of the labels is
        logged and `ppl` taken from it.
        """

        log_metrics(cls, super().reduce_metrics, logging_outputs)  # type: ignore[misc]
