"""What every distillation criterion shares: the one place where --kd-* flags take effect.

A criterion is a stock criterion behind `DistillationMixin`. In validation, or with every weight 0,
the stock criterion runs untouched. In training the loss is

    (1 - lambda) * label loss + lambda * T^2 * KL(teacher^(1/T) || student^(1/T)) + knowledge terms

summed over the vocabulary and over positions (fairseq divides once, by `sample_size`).
"""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Optional

from fairseq import utils
from fairseq.logging import metrics
from torch import Tensor, nn

from ..distill.fused import fused_distillation_loss
from ..distill.knowledge import KINDS, Knowledge, Masks
from ..distill.losses import LossSettings, LossTerms, dense_distillation_loss
from ..distill.readout import LinearReadout, Readout, decoder_readout
from ..distill.schedule import (
    WeightSchedule,
    cwsm_hardness,
    dynamic_temperature,
    flsw_hardness,
)
from ..teachers.checkpoint import check_lengths, load_teacher
from ..teachers.online import OnlineTeacher
from .flags import DistillationConfig, check_config, weight_schedules
from .matching import knowledge_settings

logger = logging.getLogger(__name__)


class DistillationMixin:
    """Adds the soft loss to the stock criterion that stands behind it in the class's bases.

    It defines no `__init__`: fairseq fills a criterion's arguments from the signature it finds,
    which must stay the stock one.
    """

    stock_has_nll: ClassVar[bool] = True  # whether the stock criterion logs `nll_loss`

    kd: DistillationConfig
    kd_weights: dict[str, WeightSchedule]  # of `lambda` and of every kind of knowledge
    num_updates: Callable[[], int]
    knowledge: Optional[Knowledge]
    _teacher: Optional[OnlineTeacher]

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
        criterion.knowledge = None
        criterion._teacher = None
        return criterion

    # what a family of models may override

    def read_out(self, model: nn.Module, sample: dict[str, Any], positions: Tensor) -> Readout:
        """The prediction of student or teacher at `positions` `(B, T)` (bool)."""
        return decoder_readout(model, sample["net_input"], positions)

    def label_positions(self, sample: dict[str, Any]) -> Tensor:
        """`(B, T)` bool: the positions that have a label and count in the loss."""
        positions = sample["target"].ne(self.padding_idx)  # type: ignore[attr-defined]
        skip = getattr(self, "ignore_prefix_size", 0)
        if skip:
            positions[:, :skip] = False
        return positions

    def sample_size(self, sample: dict[str, Any]) -> Any:
        """fairseq's divisor of loss and gradient: sentences or tokens."""
        return sample["target"].size(0) if self.sentence_avg else sample["ntokens"]  # type: ignore[attr-defined]

    def labels_per_sentence(self, sample: dict[str, Any]) -> Tensor:
        """`(B,)`: how often a sentence's knowledge terms count."""
        return self.label_positions(sample).sum(1)

    def check_teacher(self, model: nn.Module) -> None:
        """Raises ValueError if a model of this kind cannot teach under this criterion."""

    def expect(self, model: nn.Module, kind: type, words: str) -> None:
        """Raises ValueError unless the teacher is a `kind`, which is `words` to a user."""
        if not isinstance(model, kind):
            raise ValueError(
                f"--kd-teacher {self.kd.kd_teacher}: {self.kd._name} needs {words} as its teacher, "
                f"found {type(model).__name__}"
            )

    # the mechanism

    def before_training(self, student: nn.Module, num_updates: Callable[[], int]) -> None:
        """Loads and checks the teacher (`compat` calls this before the first update).

        Args:
            student: the model in training.
            num_updates: tells how many updates are done, for weights that change.
        Raises:
            ValueError: there is no teacher, or it cannot be used.
        """
        if not self.distils or self._teacher is not None:
            return
        self.num_updates = num_updates
        if self.kd.kd_teacher is None:
            raise ValueError(
                f"--kd-teacher is missing: --kd-lambda {self.kd.kd_lambda} needs a teacher "
                "checkpoint (--kd-lambda 0 trains without one, where no --kd-...-weight is set)"
            )
        model = load_teacher(self.kd.kd_teacher, self.task, self.kd.kd_teacher_data)  # type: ignore[attr-defined]
        self.check_teacher(model)
        check_lengths(self.kd.kd_teacher, model, student, self.task)  # type: ignore[attr-defined]
        if len(self.kd_weights) > 1:
            settings = knowledge_settings(self.kd, student, model)
            self.knowledge = Knowledge(settings, student, model).to(next(student.parameters()))
        size = sum(p.numel() for p in model.parameters())
        logger.info(f"teacher: {type(model).__name__}, {size:,} parameters, {self.kd.kd_teacher}")
        self._teacher = OnlineTeacher(model, self.read_out)

    def forward(self, model: nn.Module, sample: dict[str, Any], reduce: bool = True) -> Any:
        """Loss (nats, summed), divisor and logging output, as every fairseq criterion."""
        if not self.training or not self.distils:  # type: ignore[attr-defined]
            return super().forward(model, sample, reduce=reduce)  # type: ignore[misc]
        self.before_training(model, self.num_updates)
        assert self._teacher is not None
        if self.knowledge is None:
            return self.distil(model, sample)
        with (
            self.knowledge.tap(model) as student,
            self.knowledge.tap(self._teacher.model) as teacher,
        ):
            loss, sample_size, log = self.distil(model, sample)
        labels = self.labels_per_sentence(sample)
        terms = self.knowledge(student, teacher, self._masks(sample["net_input"]), labels)
        for kind, value in terms.items():
            loss = loss + self.weight(kind) * value
            log[f"kd_{kind}"] = value.data
        log["loss"] = loss.data
        return loss, sample_size, log

    def load_state_dict(self, state_dict: Any, strict: bool = True) -> Any:
        """Loads the projections of a checkpoint that has the same ones.

        fairseq also hands over the state of another stage (`--finetune-from-model`), which has
        none, or others: then those of this run stay as they are.
        """
        if (state_dict or {}).keys() != self.state_dict().keys():  # type: ignore[attr-defined]
            logger.info("the checkpoint holds no projections of these terms: they start afresh")
            return None
        return super().load_state_dict(state_dict, strict)  # type: ignore[misc]

    @property
    def distils(self) -> bool:
        """Whether anything is distilled at all."""
        return self.kd.kd_lambda > 0 or len(self.kd_weights) > 1

    def weight(self, name: str) -> float:
        """`lambda`, or the weight of a kind of knowledge, at the present update."""
        return self.kd_weights[name](self.num_updates())

    def temperature(self, logits_s: Tensor, logits_t: Tensor) -> float | Tensor:
        """By --kd-temperature-schedule a number, or `(N,)` from `(N, V)` logits."""
        base, beta = self.kd.kd_temperature, self.kd.kd_temperature_beta
        if self.kd.kd_temperature_schedule == "constant":
            return base
        if self.kd.kd_temperature_schedule == "flsw":
            hardness = flsw_hardness(logits_s, logits_t, self.kd.kd_temperature_gamma)
        else:
            hardness = cwsm_hardness(logits_s)
        return dynamic_temperature(hardness, base, beta)

    def _masks(self, net_input: dict[str, Tensor]) -> Masks:
        """Which tokens are real, on the sides that a model's input has."""
        source = net_input["src_tokens"].ne(self.padding_idx)  # type: ignore[attr-defined]
        if "prev_output_tokens" in net_input:
            target = net_input["prev_output_tokens"].ne(self.padding_idx)  # type: ignore[attr-defined]
            return Masks(encoder=source, decoder=target)
        return Masks(encoder=source, decoder=source)  # one side only, whichever it is

    def distil(self, model: nn.Module, sample: dict[str, Any]) -> Any:
        """`forward` of a training step, for models that predict symbols at positions."""
        assert self._teacher is not None
        positions = self.label_positions(sample)
        teacher = self._teacher.soft_targets(model, sample, positions)
        student = self.read_out(model, sample, positions)
        terms = self._loss(student, teacher, sample["target"][positions])
        sample_size = self.sample_size(sample)
        return terms.loss, sample_size, self._logging_output(sample, sample_size, terms, positions)

    def _loss(self, student: Readout, teacher: Readout, target: Tensor) -> LossTerms:
        settings = LossSettings(
            self.weight("lambda"),
            self.kd.kd_temperature,
            getattr(self, "eps", 0.0),
            self.kd.kd_chunk_tokens,
        )
        if isinstance(student, LinearReadout) and self.kd.kd_temperature_schedule == "constant":
            return fused_distillation_loss(student, teacher, target, settings)
        logits_s, logits_t = student.logits(), teacher.logits()
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

        Where the stock criterion has no `nll_loss` of its own, that of the labels is added and
        `ppl` is taken from it (the stock one would be that of the mixed loss).
        """
        super().reduce_metrics(logging_outputs)  # type: ignore[misc]
        positions = sum(log.get("kd_positions", 0) for log in logging_outputs)
        if positions == 0:
            return
        names = ("kd_loss",) if cls.stock_has_nll else ("kd_loss", "nll_loss")
        for name in names:
            total = sum(log.get(name, 0) for log in logging_outputs)
            metrics.log_scalar(name, total / positions / math.log(2), positions, round=3)
        for kind in KINDS:
            if f"kd_{kind}" in logging_outputs[0]:
                total = sum(log[f"kd_{kind}"] for log in logging_outputs)
                metrics.log_scalar(f"kd_{kind}", total / positions, positions, round=4)
        if not cls.stock_has_nll:
            metrics.log_derived("ppl", lambda m: utils.get_perplexity(m["nll_loss"].avg))
