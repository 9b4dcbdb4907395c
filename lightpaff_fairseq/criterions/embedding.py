"""The criterion `kd_embed`: sentence embeddings, of encoders for retrieval."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Optional

from fairseq.criterions import register_criterion
from fairseq.criterions.sentence_prediction import (
    SentencePredictionConfig,
    SentencePredictionCriterion,
)
from fairseq.dataclass import ChoiceEnum
from fairseq.logging import metrics
from fairseq.models.roberta import RobertaModel
from torch import Tensor, nn

from ..embedding_poolings import POOLINGS
from ..flags import Range, flag, range_problems
from ..losses.embeddings import (
    OrthonormalProjection,
    cosine_distance,
    margin_error,
    similarity_divergence,
)
from ..losses.label_positions import LabelPositions
from ..losses.model_output import LogitsOutput, ModelOutput
from ..models.outputs import unwrapped
from ..models.sentence_embeddings import embed, embedding_width, split_sentences
from ..problems import Problems
from ..protocols import LoggingOutput, Sample
from ..teachers.online import OnlineTeacher, load_models
from ..teachers.output_checks import output_problem
from .config import WEIGHT
from .config_checks import task_problem
from .projections import ResumesProjections

POOLING_CHOICES = ChoiceEnum(list(POOLINGS))
LOSSES = ("cosine", "similarity", "margin")


@dataclass
class KdEmbeddingConfig(SentencePredictionConfig):
    """Flags of `kd_embed`."""

    kd_teacher: Optional[str] = flag("fairseq checkpoint of the teacher, a roberta or a bert", None)
    kd_teacher_data: Optional[str] = flag(
        "folder of the teacher's dictionary (default: the data of its training run)", None
    )
    kd_pooling: POOLING_CHOICES = flag(  # type: ignore[valid-type]
        "what both models' embeddings are: the mean of all tokens' outputs, or the first token's",
        "mean",
    )
    kd_cosine_weight: float = flag(
        "weight of 1 - cosine of the two embeddings of a sentence, the student's behind a learned "
        "orthonormal map if it is narrower; 0 = off",
        1.0,
        expected=WEIGHT,
    )
    kd_similarity_weight: float = flag(
        "weight of the KL of a sentence's similarities to the others of the batch, per process; "
        "0 = off",
        0.0,
        expected=WEIGHT,
    )
    kd_similarity_temperature: float = flag(
        "divides the cosines of --kd-similarity-weight, 0.001 to 1000",
        0.05,
        expected=Range("a number from 0.001", 0.001, 1000),
    )
    kd_margin_weight: float = flag(
        "pairs, as a query and its passage: weight of Margin-MSE with the other pairs of the batch "
        "as negatives, per process; 0 = off",
        0.0,
        expected=WEIGHT,
    )


@dataclass(frozen=True)
class EmbeddingPrediction:
    """The embeddings of a batch of single sentences; see `protocols.Prediction`."""

    padding_idx: int
    pooling: str
    ignore_prefix_size: int = 0
    masks_differ_by_epoch: bool = False
    output_depends_on_labels: bool = False
    is_regression: bool = True

    def compute_output(
        self, model: nn.Module, sample: Sample, positions: LabelPositions
    ) -> ModelOutput:
        tokens = sample["net_input"]["src_tokens"]
        return LogitsOutput(embed(model, tokens, self.padding_idx, self.pooling))

    def label_positions(self, sample: Sample) -> Tensor:
        first: Tensor = sample["net_input"]["src_tokens"][:, :1]
        return first.ne(self.padding_idx)  # a sentence is one position

    def check_student(self, model: nn.Module) -> None:
        self.check_teacher(unwrapped(model), "--arch")

    def check_teacher(self, model: nn.Module, named: str) -> None:
        if not isinstance(model, RobertaModel):
            raise ValueError(
                f"{named}: kd_embed needs a roberta or a bert, got {type(model).__name__}"
            )


@register_criterion("kd_embed", dataclass=KdEmbeddingConfig)
class KdEmbeddingCriterion(ResumesProjections, SentencePredictionCriterion):
    """Sentence embeddings: every sentence of the input, compared with the teacher's embedding.

    The loss is the sum over sentences of the weighted losses of `losses.embeddings`, in
    validation too. No label is read. A pair counts as two sentences.
    """

    labels_are_tokens = False
    teacher: OnlineTeacher | None = None

    def __init__(self, cfg: KdEmbeddingConfig, task: Any) -> None:
        Problems(_config_problems(cfg, task)).raise_if_any()
        super().__init__(cfg, task)
        self.cfg = cfg
        self.projection: OrthonormalProjection | None = None
        self.prediction = EmbeddingPrediction(self.padding_idx, str(cfg.kd_pooling))

    def before_training(
        self, student: nn.Module, num_updates: Callable[[], int], starts_afresh: bool = False
    ) -> None:
        """Load and check the teacher (`trainer_hooks` calls this before the first update).

        Raises:
            ValueError: there is no teacher, or it cannot be used.
        """
        if self.teacher is not None:
            return
        self.starts_afresh = starts_afresh
        self.prediction.check_student(student)
        cfg = self.cfg
        models = load_models(cfg.kd_teacher, cfg.kd_teacher_data, self.prediction, self.task)
        teacher = OnlineTeacher(models, self.prediction, self.task)
        teacher.prepare(student)
        widths = embedding_width(student), embedding_width(teacher.model)
        if cfg.kd_cosine_weight and widths[0] > widths[1]:
            raise ValueError(
                f"--encoder-embed-dim {widths[0]}: expected at most the teacher's width "
                f"{widths[1]} with --kd-cosine-weight {cfg.kd_cosine_weight:g}"
            )
        if cfg.kd_cosine_weight and widths[0] < widths[1]:
            self.projection = OrthonormalProjection(*widths).to(next(student.parameters()))
        self.teacher = teacher

    def forward(
        self, model: nn.Module, sample: Sample, reduce: bool = True
    ) -> tuple[Tensor, int, LoggingOutput]:
        """Return loss (summed over sentences), number of sentences and logging output."""
        if self.teacher is None:
            self._prepare_late(model)
        assert self.teacher is not None
        inputs = sample["net_input"]["src_tokens"]
        tokens, counts = split_sentences(inputs, self.task.source_dictionary)
        if self.cfg.kd_margin_weight and {*counts} != {2}:
            raise ValueError(
                f"--kd-margin-weight {self.cfg.kd_margin_weight:g}: expected pairs (input0, "
                f"input1), got {sum(count != 2 for count in counts)} other samples in a batch"
            )
        single: Any = {"net_input": {"src_tokens": tokens}}
        positions = LabelPositions.of(self.prediction.label_positions(single))
        output = self.teacher.soft_targets(model, single, positions)
        assert isinstance(output, LogitsOutput)
        losses = self._losses(
            embed(model, tokens, self.padding_idx, self.prediction.pooling), output.logits()
        )
        loss = sum(getattr(self.cfg, f"kd_{name}_weight") * x for name, x in losses.items())
        assert isinstance(loss, Tensor)
        if not loss.isfinite() and (problem := output_problem(output, self.teacher.names, True)):
            raise ValueError(problem)
        log = {
            "loss": loss.data,
            "ntokens": sample["ntokens"],
            "nsentences": len(tokens),
            "sample_size": len(tokens),
            **{f"kd_{name}": value.data for name, value in losses.items()},
        }
        return loss, len(tokens), log

    def _losses(self, embedding_s: Tensor, embedding_t: Tensor) -> dict[str, Tensor]:
        """Return the sum over sentences of each loss in use, before its weight."""
        losses = {}
        if self.cfg.kd_cosine_weight:
            mapped = embedding_s if self.projection is None else self.projection(embedding_s)
            losses["cosine"] = cosine_distance(mapped, embedding_t).sum()
        if self.cfg.kd_similarity_weight:
            temperature = float(self.cfg.kd_similarity_temperature)
            divergence = similarity_divergence(embedding_s, embedding_t, temperature)
            losses["similarity"] = divergence.sum()
        if self.cfg.kd_margin_weight:
            losses["margin"] = margin_error(embedding_s, embedding_t).sum()
        return losses

    def _prepare_late(self, model: nn.Module) -> None:
        """Load the teacher outside of fairseq-train."""
        self.before_training(model, lambda: 0)
        if self.projection is not None and not self.training:
            raise ValueError(
                "--criterion kd_embed: fairseq-validate does not load the learned map to the "
                "teacher's width; use lightpaff evaluate --task sentence_embedding"
            )

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[LoggingOutput]) -> None:
        """Log means over sentences: `loss`, and each `kd_NAME` of `LOSSES` before its weight."""
        size = sum(log["sample_size"] for log in logging_outputs)
        for name in ("loss", *(f"kd_{name}" for name in LOSSES)):
            if name in logging_outputs[0]:
                total = sum(log[name] for log in logging_outputs)
                metrics.log_scalar(name, total / size, size, round=4)


def _config_problems(cfg: KdEmbeddingConfig, task: Any) -> Iterator[str]:
    """Yield a message for every flag that is out of range or does not fit."""
    name, task_cfg = type(task).__name__, getattr(task, "cfg", None)
    has_classes = hasattr(task_cfg, "num_classes")
    yield from filter(None, [task_problem("kd_embed", name, False, has_classes)])
    yield from range_problems(cfg, KdEmbeddingConfig)
    if str(cfg.kd_pooling) not in POOLINGS:
        yield f"--kd-pooling {cfg.kd_pooling}: expected one of {', '.join(POOLINGS)}"
    if not (cfg.kd_cosine_weight or cfg.kd_similarity_weight or cfg.kd_margin_weight):
        yield (
            "--kd-cosine-weight 0: expected more than 0, as --kd-similarity-weight and "
            "--kd-margin-weight are 0"
        )
    if ":" in (cfg.kd_teacher or ""):
        yield f"--kd-teacher {cfg.kd_teacher}: expected one checkpoint for kd_embed"
    if has_classes and task.cfg.init_token != task.source_dictionary.bos():
        yield (
            f"--init-token {task.cfg.init_token}: expected {task.source_dictionary.bos()}, the "
            "<s> that begins every sentence"
        )
