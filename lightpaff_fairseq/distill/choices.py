"""The choices of a plan, each with its reason and the flags that override it."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .data_info import TEST, VALID, DataInfo
from .probe import Speed
from .schedule import LANGUAGE_MODELING, Rates
from .settings import DistillSettings
from .shape import Shape
from .teacher_info import TeacherInfo

WIDTH = 100  # of a printed plan
ASKED = "As you asked"
LAST = "; the last checkpoint is the student, since accuracy on few sentences chooses by chance"
FLOAT32 = 4 / 1e6  # MB per parameter


@dataclass(frozen=True)
class Choice:
    """One choice: what, its value, why, and the flags that set it."""

    name: str
    value: str
    reason: str
    flags: str = ""

    def lines(self) -> list[str]:
        """Return the text, indented below its name."""
        text = f"{self.value}. {self.reason}{f' [{self.flags}]' if self.flags else ''}"
        return textwrap.wrap(
            text, WIDTH, initial_indent=f"  {self.name:<15}", subsequent_indent=" " * 17
        )


def describe_teacher(teacher: TeacherInfo) -> Choice:
    """Describe the teacher."""
    sizes = [teacher.sizes(side) for side in teacher.sides]
    layers = "+".join(str(x.layers) for x in sizes)
    return Choice(
        "teacher",
        f"{teacher.family}, {layers} layers x {sizes[0].width}, {teacher.params:,} parameters, "
        f"task {teacher.task}",
        f"From {teacher.path}",
        "--teacher",
    )


def describe_data(data: DataInfo) -> Choice:
    """Describe the data."""
    count = data.amount
    skipped = "".join(
        f"; {n:,} of {split} are longer than the model's positions and are skipped"
        for split, n in data.too_long.items()
        if n
    )
    several = f" in {len(data.folders)} folders" if len(data.folders) > 1 else ""
    reason = f"From {data.data}"
    if several:
        reason += "; fairseq reads one folder per epoch, an epoch of this plan is all of them"
    return Choice(
        "data",
        f"{count.samples:,} samples with {count.tokens:,} tokens{several}, "
        f"{data.sentences[VALID]:,} for validation, {data.sentences[TEST]:,} for testing{skipped}",
        reason,
        "--data",
    )


def describe_student(
    settings: DistillSettings, teacher: TeacherInfo, shape: Shape, speed: Speed
) -> list[Choice]:
    """Describe the student and its expected speed."""
    if settings.arch:
        reason = ASKED
    else:
        reason = "The widest student of this size"
        if (
            "encoder" in teacher.sides
            and "decoder" in teacher.sides
            and not settings.decoder_layers
        ):
            reason += (
                "; it keeps the encoder's layers and a third of the decoder's, since the encoder "
                "runs once per sentence and the decoder once per token"
            )
    value = (
        f"{shape.layers}, {shape.params:,} parameters ({teacher.full_params / shape.params:.1f}x "
        f"smaller), {shape.params * FLOAT32:.1f} MB; {shape.table / shape.params:.0%} of them are "
        "embeddings"
    )
    is_mostly_table = shape.table > shape.params / 2 and teacher.task != LANGUAGE_MODELING
    if is_mostly_table and settings.keep_tokens is None:
        value += ", fewer with --keep-tokens 99%"
    flags = "--smaller, --params, --encoder-layers, --decoder-layers, --arch"
    fast = f"{speed.student / speed.teacher:.1f}x the teacher's in fairseq"
    if speed.served:
        fast += f", {speed.served / speed.teacher:.0f}x as {settings.serve}"
    timed = Choice("speed", fast, "Untrained models, timed on one thread of this machine")
    return [Choice("student", value, reason, flags), timed]


def describe_rates(settings: DistillSettings, rates: Rates, is_last: bool) -> list[Choice]:
    """Describe the settings of the fine-tuning.

    Args:
        is_last: it runs to its end, and its last checkpoint is the student.
    """
    rate = ASKED if settings.lr else "For this width, from the teacher's weights"
    warmup = f"after {rates.warmup_updates} updates of warm-up, then linear decay to 0"
    flags = "--updates, --max-tokens, --patience"
    early = LAST if is_last else _early(settings)
    return [
        _describe_length("training", rates, settings.updates, early, flags),
        Choice("learning rate", f"{rates.lr:g}, {warmup}", rate, "--lr, --warmup-updates"),
    ]


def _early(settings: DistillSettings) -> str:
    return "" if settings.patience == 0 else "; it ends early once validation has settled"


def describe_pretraining(settings: DistillSettings, rates: Rates) -> Choice:
    """Describe the settings of the pre-training."""
    flags = "--pretrain-updates, --pretrain-lr, --pretrain-flags"
    updates = settings.pretrain_updates
    choice = _describe_length("pre-training", rates, updates, _early(settings), flags)
    return replace(choice, value=f"{choice.value}, learning rate {rates.lr:g}")


def _describe_length(name: str, rates: Rates, given: int | None, early: str, flags: str) -> Choice:
    batch = f"{rates.batch_size} samples" if rates.batch_size else f"{rates.max_tokens:,} tokens"
    length = ASKED if given else "For this amount of data (docs/distill.md has the table)"
    value = f"{rates.updates:,} updates of {batch}, {rates.epochs:.1f} epochs"
    return Choice(name, value, f"{length}{early}", flags)


def describe_shortlist(settings: DistillSettings, sequences: str | None) -> list[Choice]:
    """Describe the shortlist, if one is asked for; `sequences`: see `layout.Inputs`."""
    if not settings.shortlist:
        return []
    pairs = "the teacher's translations" if sequences else "the training pairs"
    return [Choice("shortlist", f"of {pairs}", ASKED, "--shortlist")]


def lines_of(choices: Sequence[Choice]) -> list[str]:
    """Return the text of several choices."""
    return [line for choice in choices for line in choice.lines()]
