"""The settings of `lightpaff distill`, declared once as flags."""

from dataclasses import dataclass
from pathlib import Path

from ..flags import Range, at_least, flag

AUTO, YES, NO, NONE = "auto", "yes", "no", "none"
TEACHER, RANDOM = "teacher", "random"  # values of --init
SHARDED = ("data", "text")  # settings that take several folders, joined by colons
SUFFIXES = {"K": 10**3, "M": 10**6, "G": 10**9}
SERVED_AS = (
    *(AUTO, "ctranslate2", "ctranslate2:int8", "ctranslate2:int16", "ctranslate2:float16"),
    *("onnx", "onnx:int8", "hf", NONE),
)


@dataclass(frozen=True)
class DistillSettings:
    """What to distill, and every choice of the plan that a user may make instead."""

    teacher: Path | None = flag("fairseq checkpoint of the teacher", None, metavar="FILE")
    data: Path | None = flag(
        "binarized data of its task; several folders: a:b", None, metavar="DIR"
    )
    out: Path | None = flag(
        "folder to write; the same command continues in it", None, metavar="DIR"
    )
    smaller: float | None = flag(
        "the student has this many times fewer parameters than the teacher (default: 5)",
        None,
        metavar="X",
        expected=Range("a number above 1", 1, 1e4, is_open=True),
    )
    params: str | None = flag("parameters of the student, as 1.2M", None, metavar="N")
    arch: str | None = flag(
        'the student: an architecture and its model flags, as "transformer_mass_tiny '
        '--encoder-layers 4"',
        None,
        metavar="FLAGS",
    )
    encoder_layers: int | None = flag(
        "layers of the student's encoder", None, metavar="N", expected=at_least(1)
    )
    decoder_layers: int | None = flag(
        "layers of the student's decoder", None, metavar="N", expected=at_least(1)
    )
    keep_tokens: str | None = flag(
        "classification and translation: cut the vocabulary of teacher and data first, to the N "
        "most frequent tokens, or to those that make up a share of the training data, as 99%%",
        None,
        metavar="N",
    )
    tokenizer: Path | None = flag(
        "folder of lightpaff convert with the teacher's tokenizer: use.py of an ONNX student reads "
        "text then, and --keep-tokens spells cut tokens; for the latter also a SentencePiece model "
        "(default: the teacher's folder, if it has one)",
        None,
        metavar="PATH",
    )
    init: str = flag(
        "what the student starts from: teacher = the teacher's most important dimensions, random, "
        "or a stripped checkpoint, whose shape becomes the student's (default: %(default)s)",
        TEACHER,
        metavar="teacher|random|FILE",
    )
    pretrained_teacher: Path | None = flag(
        "checkpoint of the teacher before fine-tuning; with --text, the student is distilled in "
        "pre-training, too",
        None,
        metavar="FILE",
    )
    text: Path | None = flag("binarized data of pre-training; several: a:b", None, metavar="DIR")
    sequence_kd: str = flag(
        "translation: train on the teacher's translations; auto = if decoding them takes less time "
        "than the training (default: %(default)s)",
        AUTO,
        choices=(AUTO, YES, NO),
    )
    baseline: bool = flag("also train the same student without distillation, to compare", False)
    serve: str = flag(
        "format and quantization of the served student: %(choices)s (default: %(default)s)",
        AUTO,
        choices=SERVED_AS,
        metavar="FORMAT",
    )
    shortlist: bool = flag(
        "translation with CTranslate2: serve with a lexical shortlist of the training pairs, whose "
        "targets are the teacher's translations where the student is trained on them",
        False,
    )
    max_drop: float = flag(
        "maximum drop from quantization and the beam that serves, as in lightpaff export (default: "
        "%(default)s)",
        0.5,
        metavar="X",
        expected=Range("0 or more", 0, 100),
    )
    updates: int | None = flag("updates of fine-tuning", None, metavar="N", expected=at_least(1))
    pretrain_updates: int | None = flag(
        "updates of pre-training", None, metavar="N", expected=at_least(1)
    )
    lr: float | None = flag(
        "peak learning rate", None, metavar="X", expected=Range("above 0", 0, 10, is_open=True)
    )
    pretrain_lr: float | None = flag(
        "the same for pre-training (default: that of --lr)",
        None,
        metavar="X",
        expected=Range("above 0", 0, 10, is_open=True),
    )
    warmup_updates: int | None = flag(
        "updates until the peak of the learning rate", None, metavar="N", expected=at_least(0)
    )
    max_tokens: int | None = flag("tokens per batch", None, metavar="N", expected=at_least(1))
    kd_lambda: float = flag(
        "weight of the teacher in fine-tuning; the labels get the rest; 0 = no distillation "
        "(default: %(default)s)",
        1.0,
        metavar="X",
        expected=Range("a number from 0 to 1", 0, 1),
    )
    pretrain_kd_lambda: float | None = flag(
        "the same in pre-training (default: that of --kd-lambda)",
        None,
        metavar="X",
        expected=Range("a number from 0 to 1", 0, 1),
    )
    cache: str = flag(
        "store the teacher's outputs before training (default: %(default)s)",
        AUTO,
        choices=(AUTO, YES, NO),
    )
    patience: int | None = flag(
        "end a training after this many validations without a better one; 0 = off (default: 5; "
        "classifiers with --kd-lambda 1 train to the end, and the last checkpoint is the student)",
        None,
        metavar="N",
        expected=at_least(0),
    )
    references: Path | None = flag(
        "translation: raw text of the test split's targets, one line per sentence (default: the "
        "binarized targets)",
        None,
        metavar="FILE",
    )
    sentencepiece_model: Path | None = flag(
        "copied beside the served student, whose use.py then takes raw text", None, metavar="FILE"
    )
    train_flags: str = flag(
        'more flags of fairseq-train for every training, as "--fp16 --update-freq 4"',
        "",
        metavar="FLAGS",
        may_be_empty=True,
    )
    pretrain_flags: str = flag(
        "more of them for the pre-training alone", "", metavar="FLAGS", may_be_empty=True
    )
    kd_flags: str = flag(
        "more of them for distillation in fine-tuning", "", metavar="FLAGS", may_be_empty=True
    )
    launch: str = flag(
        "launcher in front of the steps that several processes share (trainings, teacher cache, "
        'teacher translations), as "torchrun --nproc_per_node 8 --no-python" or srun',
        "",
        metavar="COMMAND",
        may_be_empty=True,
    )
    seed: int = flag("(default: %(default)s)", 1, metavar="N", expected=at_least(0))

    @property
    def init_file(self) -> Path | None:
        """The checkpoint that fine-tuning starts from, if `init` names one."""
        return None if self.init in (TEACHER, RANDOM) else Path(self.init)

    @property
    def pretraining_lambda(self) -> float:
        """The weight of the teacher in pre-training."""
        return self.kd_lambda if self.pretrain_kd_lambda is None else self.pretrain_kd_lambda


def tokens_to_keep(text: str) -> tuple[str, str] | None:
    """Return the flag of `lightpaff trim-vocab`, and its value, for `2500` or `99%`, or None."""
    if text.isascii() and text.isdigit() and int(text):
        return "--keep", text
    try:
        share = float(text.removesuffix("%"))
    except ValueError:
        return None
    is_share = text.endswith("%") and 0 < share <= 100
    return ("--coverage", f"{share / 100:.12g}") if is_share else None


def parameters(text: str) -> int | None:
    """Return the number that a text such as `1.2M` stands for, or None."""
    try:
        factor = SUFFIXES.get(text[-1:].upper(), 1)
        number = float(text[:-1] if factor > 1 else text) * factor
        return round(number) if 1 <= number < 1e15 else None
    except ValueError:
        return None
