"""Sizes of the update to time, and the models of its student and teacher."""

from dataclasses import dataclass, replace
from typing import Self

from ..flags import Range, at_least, flag
from ..problems import Problems
from .benchmark_run import TimedDeviceFlags
from .step_models import FAMILIES

SMALLEST_VOCAB = 16
DTYPES = ("float32", "float16", "bfloat16")
MODEL_FLAGS = "model flags of fairseq-train in quotes, as '--arch ...' (default: "


@dataclass(frozen=True, kw_only=True)
class UpdateProblem(TimedDeviceFlags):
    """One update: its batch, its models, and the teacher's cache."""

    family: str = flag("kind of model", choices=tuple(FAMILIES))
    student: str = flag(f"{MODEL_FLAGS}a moderate size)", "", metavar="FLAGS", may_be_empty=True)
    teacher: str = flag(
        f"{MODEL_FLAGS}5 to 7 times the student's size)", "", metavar="FLAGS", may_be_empty=True
    )
    vocab: int = flag(
        "size of the vocabulary (default: %(default)s)",
        8192,
        metavar="N",
        expected=at_least(SMALLEST_VOCAB),
    )
    sentences: int = flag(
        "sentences of the batch (default: %(default)s)", 16, metavar="N", expected=at_least(1)
    )
    length: int = flag(
        "tokens per sentence (default: %(default)s)", 64, metavar="N", expected=at_least(2)
    )
    topk: int = flag(
        "tokens per position of the cached teacher (default: %(default)s)",
        32,
        metavar="N",
        expected=at_least(1),
    )
    chunk_tokens: int = flag(
        "positions per chunk, as --kd-chunk-tokens (default: %(default)s)",
        512,
        metavar="N",
        expected=at_least(1),
    )

    def with_models(self) -> Self:
        """Return a copy with the family's models where --student or --teacher is empty."""
        family = FAMILIES[self.family]
        return replace(
            self, student=self.student or family.student, teacher=self.teacher or family.teacher
        )

    def problems(self) -> Problems:
        """Return the problems with the flags."""
        problems = super().problems()
        problems.unless(
            self.topk < self.vocab, f"--topk {self.topk}: expected less than --vocab {self.vocab}"
        )
        return problems


@dataclass(frozen=True, kw_only=True)
class StepProblem(UpdateProblem):
    """One update, its precision, and flags of further variants."""

    dtype: str = flag(
        "precision of the training and the teacher, as fairseq's fp16 and bf16 (default: "
        "%(default)s)",
        DTYPES[0],
        choices=DTYPES,
    )
    more: str = flag(
        "--kd-... flags, in quotes, of one more variant to compare with kd (default: none)",
        "",
        metavar="FLAGS",
        may_be_empty=True,
    )
    prune: float = flag(
        "one more variant: kd in a prunable task that keeps this part of the width; 0 = off "
        "(default: %(default)s)",
        0.0,
        metavar="RATIO",
        expected=Range("a ratio up to 1, or 0 (off)", 0, 1),
    )
