"""Length, batch and learning rate of a training, by the amount of data and the start.

`TABLE` is in docs/distill.md, too. Only its first row was measured (docs/guideline.md says where);
the others follow fairseq's recipes for data of such sizes.
"""

from dataclasses import dataclass

from .settings import DistillSettings
from .teacher_info import TeacherInfo

TRANSLATION, LANGUAGE_MODELING = "translation", "language_modeling"
CLASSIFICATION = "sentence_prediction"


@dataclass(frozen=True)
class Amount:
    """A training set.

    Attributes:
        samples: sentences, pairs, or blocks of a language model.
        tokens: in targets, of a classifier in inputs.
        longest: tokens in the longest sample.
    """

    samples: int
    tokens: int
    longest: int

    @property
    def mean_length(self) -> int:
        """Tokens per sample, rounded."""
        return round(self.tokens / self.samples)


@dataclass(frozen=True)
class Rates:
    """The settings of a training.

    Attributes:
        updates: number of updates; `per_epoch`: of an epoch, about.
        max_tokens: tokens per batch; `batch_size`: samples per batch, or None.
        lr: peak learning rate; `warmup_updates`: until the peak; then linear decay to 0.
        dropout: of the student.
    """

    updates: int
    per_epoch: int
    max_tokens: int
    lr: float
    warmup_updates: int
    dropout: float
    batch_size: int | None = None

    @property
    def epochs(self) -> float:
        return self.updates / self.per_epoch


@dataclass(frozen=True)
class Row:
    """Rates for data sets of up to `tokens` tokens.

    Attributes:
        max_tokens: tokens per batch; `epochs`: passes over the data.
    """

    tokens: float
    max_tokens: int
    epochs: float


TABLE = (
    Row(2e6, 1000, 17),
    Row(2e7, 4096, 10),
    Row(2e8, 8192, 6),
    Row(float("inf"), 16384, 3),
)
CLASSIFICATION_EPOCHS, CLASSIFICATION_BATCH = 12, 32
WARMUP = 0.04  # of the updates
LARGEST_WARMUP = 4000
PADDING = 1.08  # updates per epoch over those of full batches
# Peak learning rate at width 100, from the teacher's weights; it falls with the root of the width.
LEARNING_RATES = {TRANSLATION: 2e-3, LANGUAGE_MODELING: 2e-3, CLASSIFICATION: 4e-4}
DROPOUT = 0.1
PRETRAINING_EPOCHS = 0.6  # of those of fine-tuning


def choose_rates(
    settings: DistillSettings, teacher: TeacherInfo, amount: Amount, width: int
) -> Rates:
    """Return the settings of the fine-tuning; those that the user gave replace the table's."""
    row = next(row for row in TABLE if amount.tokens <= row.tokens)
    max_tokens = settings.max_tokens or max(row.max_tokens, amount.longest)
    epochs, batch_size = row.epochs, None
    per_epoch = max(1, round(amount.tokens * PADDING / max_tokens))
    if teacher.task not in (TRANSLATION, LANGUAGE_MODELING):
        epochs, batch_size = CLASSIFICATION_EPOCHS, CLASSIFICATION_BATCH
        max_tokens = settings.max_tokens or max(4096, amount.longest)
        per_epoch = max(1, -(-amount.samples // batch_size))
    updates = settings.updates or max(1, round(epochs * per_epoch))
    warmup = min(LARGEST_WARMUP, round(WARMUP * updates))
    return Rates(
        updates=updates,
        per_epoch=per_epoch,
        max_tokens=max_tokens,
        lr=settings.lr or round_rate(LEARNING_RATES[teacher.task] * (100 / width) ** 0.5),
        warmup_updates=warmup if settings.warmup_updates is None else settings.warmup_updates,
        dropout=DROPOUT,
        batch_size=batch_size,
    )


def pretraining_rates(settings: DistillSettings, amount: Amount, width: int) -> Rates:
    """Return the settings of the pre-training."""
    row = next(row for row in TABLE if amount.tokens <= row.tokens)
    max_tokens = settings.max_tokens or max(row.max_tokens, amount.longest)
    per_epoch = max(1, round(amount.tokens * PADDING / max_tokens))
    chosen = round(row.epochs * PRETRAINING_EPOCHS * per_epoch)
    updates = settings.pretrain_updates or max(1, chosen)
    warmup = min(LARGEST_WARMUP, round(WARMUP * updates))
    given = settings.pretrain_lr or settings.lr
    lr = given or round_rate(LEARNING_RATES[TRANSLATION] * (100 / width) ** 0.5)
    return Rates(updates, per_epoch, max_tokens, lr, warmup, DROPOUT)


def round_rate(value: float) -> float:
    """Round to two digits."""
    return float(f"{value:.1e}")
