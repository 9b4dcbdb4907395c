"""What every distillation criterion shares: the --kd-* flags and the one place they take effect.

A criterion is a stock criterion behind `DistillationMixin`. In validation, or with
`--kd-lambda 0`, the stock criterion runs untouched. In training the loss is

    (1 - lambda) * label loss + lambda * T^2 * KL(teacher^(1/T) || student^(1/T))

summed over the vocabulary and over positions (fairseq divides once, by `sample_size`).
"""

import logging
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Optional

from fairseq import utils
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor, nn

from ..distill.fused import fused_distillation_loss
from ..distill.losses import LossSettings, LossTerms, dense_distillation_loss
from ..distill.readout import LinearReadout, Readout, decoder_readout
from ..teachers.checkpoint import check_lengths, load_teacher
from ..teachers.online import OnlineTeacher

logger = logging.getLogger(__name__)


@dataclass
class DistillationConfig(FairseqDataclass):
    """The --kd-* flags, the same for every criterion."""

    kd_teacher: Optional[str] = field(
        default=None,
        metadata={"help": "fairseq checkpoint of the teacher; needed while --kd-lambda is above 0"},
    )
    kd_teacher_data: Optional[str] = field(
        default=None,
        metadata={
            "help": "folder with the teacher's dictionaries, to compare them with the student's "
            "(default: the folder the teacher was trained on)"
        },
    )
    kd_lambda: float = field(
        default=0.5,
        metadata={"help": "weight of the soft loss, 0 to 1; 0 = off, 1 = labels are not used"},
    )
    kd_temperature: float = field(
        default=1.0,
        metadata={"help": "divides the logits of both models in the soft loss, > 0; 1 = off"},
    )
    kd_chunk_tokens: int = field(
        default=256,
        metadata={
            "help": "predicted positions that the fused loss handles at a time: memory grows "
            "with it, the result does not change"
        },
    )


def check_config(cfg: DistillationConfig) -> None:
    """Raises one ValueError that lists every --kd-* value out of range."""
    problems = []
    if not 0 <= cfg.kd_lambda <= 1:
        problems.append(f"--kd-lambda {cfg.kd_lambda}: expected a number from 0 (off) to 1")
    if not (cfg.kd_temperature > 0 and math.isfinite(cfg.kd_temperature)):
        problems.append(f"--kd-temperature {cfg.kd_temperature}: expected a number above 0")
    if cfg.kd_chunk_tokens < 1:
        problems.append(f"--kd-chunk-tokens {cfg.kd_chunk_tokens}: expected 1 or more positions")
    if problems:
        raise ValueError("; ".join(problems))


class DistillationMixin:
    """Adds the soft loss to the stock criterion that stands behind it in the class's bases.

    It defines no `__init__`: fairseq fills a criterion's arguments from the signature it finds,
    which must stay the stock one.
    """

    stock_has_nll: ClassVar[bool] = True  # whether the stock criterion logs `nll_loss`

    kd: DistillationConfig
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

    def before_training(self, student: nn.Module) -> None:
        """Loads and checks the teacher (`compat` calls this before the first update).

        Raises:
            ValueError: there is no teacher, or it cannot be used.
        """
        if self.kd.kd_lambda == 0 or self._teacher is not None:
            return
        if self.kd.kd_teacher is None:
            raise ValueError(
                f"--kd-teacher is missing: --kd-lambda {self.kd.kd_lambda} needs a teacher "
                "checkpoint (--kd-lambda 0 trains without one)"
            )
        model = load_teacher(self.kd.kd_teacher, self.task, self.kd.kd_teacher_data)  # type: ignore[attr-defined]
        self.check_teacher(model)
        check_lengths(self.kd.kd_teacher, model, student, self.task)  # type: ignore[attr-defined]
        size = sum(p.numel() for p in model.parameters())
        logger.info(f"teacher: {type(model).__name__}, {size:,} parameters, {self.kd.kd_teacher}")
        self._teacher = OnlineTeacher(model, self.read_out)

    def forward(self, model: nn.Module, sample: dict[str, Any], reduce: bool = True) -> Any:
        """Loss (nats, summed), divisor and logging output, as every fairseq criterion."""
        if not self.training or self.kd.kd_lambda == 0:  # type: ignore[attr-defined]
            return super().forward(model, sample, reduce=reduce)  # type: ignore[misc]
        self.before_training(model)
        return self.distil(model, sample)

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
            self.kd.kd_lambda,
            self.kd.kd_temperature,
            getattr(self, "eps", 0.0),
            self.kd.kd_chunk_tokens,
        )
        if isinstance(student, LinearReadout):
            return fused_distillation_loss(student, teacher, target, settings)
        return dense_distillation_loss(student.logits(), teacher.logits(), target, settings)

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
        """The stock metrics, plus `kd_loss`: bits a predicted position, before its weight.

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
        if not cls.stock_has_nll:
            metrics.log_derived("ppl", lambda m: utils.get_perplexity(m["nll_loss"].avg))
