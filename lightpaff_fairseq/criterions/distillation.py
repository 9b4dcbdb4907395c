"""The part that all distillation criterions share.

A criterion is a stock criterion behind `DistillationMixin`. In validation, or with every weight 0,
the stock criterion runs untouched. In training the loss is

    output weight * ((1 - lambda) * task loss + lambda * T^2 * D(teacher^(1/T), student^(1/T)))
        + sum of weight * intermediate loss

summed over the vocabulary and over positions (fairseq divides once, by `sample_size`); D is
KL(teacher || student) unless --kd-divergence says otherwise.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from torch import Tensor, nn

from ..losses.dense import LossSettings
from ..models.int8_weights import check_int8_training, int8_weights
from ..models.outputs import decoder_output
from ..protocols import ON_POLICY, LoggingOutput, Prediction, Sample, Task
from ..teachers.prepared_batch import LooksUp, PreparingCollater, positions_of
from .config import DistillationConfig, divergence, selection
from .config_checks import check_config, check_task
from .distiller import Distiller
from .metrics import log_metrics, on_policy_log
from .on_policy import OnPolicy
from .prediction import TokenPrediction
from .projections import ResumesProjections

Losses = tuple[Tensor, int | Tensor, LoggingOutput]  # what fairseq takes of a criterion


class DistillationMixin(ResumesProjections):
    """Distillation for the stock criterion that follows it in a class's bases.

    It defines no `__init__`, since fairseq takes a criterion's arguments from the signature, which
    must be the stock one.
    """

    # in addition to the stock metrics: sums in nats in the logging output, logged in bits per label
    extra_metrics: ClassVar[tuple[str, ...]] = ("kd_loss",)
    # the stock criterion computes `ppl` from `loss`
    stock_ppl_is_of_loss: ClassVar[bool] = False

    # defaults for stock criterions without these attributes
    eps: float = 0.0
    report_accuracy: bool = False
    ignore_prefix_size: int = 0
    sentence_avg: bool = False

    # fields of `TokenPrediction`
    teacher_type: ClassVar[tuple[type[nn.Module], str]]
    masks_differ_by_epoch: ClassVar[bool] = False
    labels_are_tokens: ClassVar[bool] = True  # false: classes, or numbers
    run = staticmethod(decoder_output)

    distiller: Distiller

    @classmethod
    def build_criterion(cls, cfg: DistillationConfig, task: Task) -> "DistillationMixin":
        """Build the stock criterion and give it its `distiller`.

        Raises:
            ValueError: a value is out of range, or the task does not fit.
        """
        check_config(cfg)
        can_generate = cls.labels_are_tokens and not cls.masks_differ_by_epoch
        check_task(cfg, task, cls.labels_are_tokens, can_generate)
        criterion: DistillationMixin = super().build_criterion(cfg, task)
        settings = LossSettings(
            cfg.kd_lambda,
            cfg.kd_temperature,
            criterion.eps,
            cfg.kd_chunk_tokens,
            divergence(cfg),
            selection(cfg),
            criterion.report_accuracy,
            kernel=str(cfg.kd_kernel),
        )
        criterion.distiller = Distiller(cfg, criterion.build_prediction(cfg), settings)
        return criterion

    def build_prediction(self, cfg: Any) -> Prediction:
        """Return what this criterion predicts."""
        return TokenPrediction(
            cfg._name,
            self.padding_idx,
            self.ignore_prefix_size,
            self.teacher_type,
            self.masks_differ_by_epoch,
            self.run,
        )

    def before_training(
        self, student: nn.Module, num_updates: Callable[[], int], starts_afresh: bool = False
    ) -> None:
        """Load and check the teacher (`trainer_hooks` calls this before the first update).

        Args:
            student: the model in training.
            num_updates: returns the number of finished updates, for schedules.
            starts_afresh: true if the optimizer is reset, so that projections may be, too.
        Raises:
            ValueError: there is no teacher, or it cannot be used; or the student's weights cannot
                be quantized.
        """
        bits = self.distiller.cfg.quantize_weights
        if bits:
            check_int8_training(student, f"--quantize-weights {bits}")
        if self.distiller.is_active and self.distiller.teacher is None:
            self.distiller.num_updates, self.starts_afresh = num_updates, starts_afresh
            self.distiller.prepare(student, self.task)

    def begin_epoch(self, epoch: int, split: str) -> None:
        """Prepare the teacher for an epoch (`trainer_hooks` calls this with its data loaded).

        Raises:
            ValueError: a cache was built with other data, or does not have this epoch.
        """
        if self.distiller.teacher is not None:
            self.distiller.teacher.begin_epoch(epoch, split)

    def prepare_batches(self, collate: Callable[[Any], Any]) -> PreparingCollater:
        """Return fairseq's function that makes batches, with what this criterion adds to them.

        `trainer_hooks` puts it into the loader of the training set.
        """
        teacher = self.distiller.teacher
        looks_up = teacher if isinstance(teacher, LooksUp) else None
        return PreparingCollater(collate, self.distiller.prediction, looks_up)

    def forward(self, model: nn.Module, sample: Sample, reduce: bool = True) -> Losses:
        """Return loss (nats, summed), sample size and logging output."""
        if not self.training:
            return self._stock_forward(model, sample, reduce)
        with self.served_weights(model):
            if self.distiller.is_active:
                return self._distilled_forward(model, sample)
            return self._stock_forward(model, sample, reduce)

    def served_weights(self, model: nn.Module) -> AbstractContextManager[None]:
        """Return a block in which a model has the weights of --quantize-weights, or its own.

        `trainer_hooks` puts validation into it, where translations may be generated too.
        """
        return int8_weights(model) if self.distiller.cfg.quantize_weights else nullcontext()

    def _stock_forward(self, model: nn.Module, sample: Sample, reduce: bool) -> Losses:
        stock: Losses = super().forward(model, sample, reduce=reduce)
        return stock

    def _distilled_forward(self, model: nn.Module, sample: Sample) -> Losses:
        distiller = self.distiller
        if distiller.teacher is None:
            self.before_training(model, distiller.num_updates)
        distiller.check_soft_losses(model)  # of batches before, on a GPU
        if distiller.on_policy is not None:
            sample = distiller.on_policy.batch(sample)
        with distiller.record(model) as activations:
            loss, sample_size, log = self.distill(model, sample)
        distiller.losses.add(log["kd_loss"], sample)
        if ON_POLICY in sample:
            log = on_policy_log(log)
        distiller.check_soft_losses(model)
        loss = distiller.cfg.kd_output_weight * loss
        for kind, value in distiller.intermediate_losses(activations, sample).items():
            loss = loss + distiller.weight(kind) * value
            log[f"kd_{kind}"] = value.data
        log["loss"] = loss.data
        return loss, sample_size, log

    def distill(self, model: nn.Module, sample: Sample) -> Losses:
        """Return the results of `forward` without intermediate losses, for token predictions."""
        at = positions_of(sample, self.distiller.prediction)
        terms, positions = self.distiller.output_loss(model, sample, at), len(at)
        log: LoggingOutput = {
            "nll_loss": terms.nll_loss,
            "kd_loss": terms.kd_loss,
            "kd_positions": positions,
            "ntokens": sample["ntokens"],
            "nsentences": sample["nsentences"],
            "sample_size": self.sample_size(sample, positions),
        }
        if self.distiller.settings.selection is not None:
            log["kd_selected"] = self.distiller.settings.selection.count(positions)
        if terms.aligned is not None:
            log["kd_aligned"] = terms.aligned
        if self.report_accuracy:
            log |= {"n_correct": terms.n_correct, "total": positions}
        return terms.loss, log["sample_size"], log

    def sample_size(self, sample: Sample, positions: int) -> int:
        """Return fairseq's divisor of loss and gradient; `positions`: the number of them."""
        return sample["target"].size(0) if self.sentence_avg else sample["ntokens"]

    @property
    def kept_state(self) -> OnPolicy | None:
        """What checkpoints keep besides weights (see `training_state`); None: nothing."""
        return self.distiller.on_policy

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[LoggingOutput]) -> None:
        """Log the stock metrics, and unweighted losses: `kd_loss` in bits per predicted position,
        and `kd_<kind>` per label for every intermediate loss.

        If the stock criterion computes `ppl` from `loss`, `nll_loss` is logged, and `ppl` computed
        from it.
        """
        log_metrics(cls, super().reduce_metrics, logging_outputs)
