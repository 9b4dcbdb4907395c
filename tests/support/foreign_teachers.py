"""Teachers of fairseq's own model families, tiny: the rows of docs/teachers.md."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from fairseq import tasks

import toy


def sizes(modules, dim, layers):
    """Flags of a Transformer of this width on the given modules."""
    values = {"embed-dim": dim, "ffn-embed-dim": 2 * dim, "attention-heads": 2, "layers": layers}
    return tuple(x for side in modules for k, v in values.items() for x in (f"--{side}-{k}", v))


BOTH, ENCODER, DECODER = ("encoder", "decoder"), ("encoder",), ("decoder",)
POSITIONS = ("--max-source-positions", 64, "--max-target-positions", 64)


def by_language(folder: Path) -> Path:
    """Monolingual text in a folder a language, with one dictionary."""
    toy.write_dictionary(folder / "dict.txt", mask=False)
    for seed, lang in enumerate(("sv", "en")):
        (folder / lang).mkdir()
        for number, split in enumerate(("train", "valid")):
            toy.write_split(folder / lang / split, toy.sentences(17, 2 * seed + number))
    return folder


@dataclass(frozen=True)
class Row:
    """A teacher, a student and the criterion between them.

    Attributes:
        name: of the row; criterion: of the plug-in; stock: what the teacher was trained with.
        task: flags common to teacher and student; write: makes the data.
        teacher, student: flags of the two models.
    """

    name: str
    criterion: str
    task: tuple
    write: Callable[[Path], Path]
    teacher: tuple
    student: tuple

    def __str__(self):
        return self.name

    @property
    def stock(self):
        kinds = {"kd_mlm": "masked_lm", "kd_lu": "sentence_prediction"}
        kinds |= {
            "kd_ss": "label_smoothed_cross_entropy",
            "kd_mssm": "label_smoothed_cross_entropy",
        }
        return kinds.get(self.criterion, "cross_entropy")

    def argv(self, data, model, *flags):
        return (data, *self.task, *model, "--dropout", 0, "--max-tokens", 300, *flags)

    def save_teacher(self, folder: Path):
        """(data, model, checkpoint) of a teacher with random weights."""
        data = self.write(folder / "data")
        cfg = toy.parse(*self.argv(data, self.teacher, "--criterion", self.stock))
        torch.manual_seed(1)
        model = tasks.setup_task(cfg.task).build_model(cfg.model)
        return data, model, toy.save_model(folder / "teacher.pt", cfg, model)


BLOCKS = ("--tokens-per-sample", 64, "--sample-break-mode", "complete")
NOISE = (*BLOCKS, "--mask", 0.3, "--poisson-lambda", 3, "--mask-length", "span-poisson")
NOISE = (*NOISE, "--replace-length", 1)
SENTENCES = ("--sample-break-mode", "eos", "--tokens-per-sample", 32)
CLASSES = ("--num-classes", 3, "--init-token", 0)
TRANSLATION = ("--task", "translation")
DENOISING = ("--task", "denoising", *NOISE)
MULTI_DENOISING = (
    "--task",
    "multilingual_denoising",
    *NOISE,
    "--add-lang-token",
    "--langs",
    "sv,en",
)
MULTI_DENOISING = (*MULTI_DENOISING, "--dataset-impl", "mmap")
LANGS = ("--langs", "sv,en", "-s", "sv", "-t", "en")
MBART = ("--task", "translation_from_pretrained_bart", *LANGS)
LANGTOK = ("--langs", "sv,en", "--encoder-langtok", "src", "--decoder-langtok")
NLLB = ("--task", "translation_multi_simple_epoch", *LANGTOK, "--lang-pairs", "sv-en")
MLM = ("--task", "masked_lm", *SENTENCES)
XLMR = ("--task", "multilingual_masked_lm", *SENTENCES)
LU = ("--task", "sentence_prediction", *CLASSES)
BART_LU = (*LU, "--add-prev-output-tokens")
LM = ("--task", "language_modeling", *SENTENCES)
STUDENT = ("--arch", "transformer", *sizes(BOTH, 8, 1), *POSITIONS)
BART = ("--arch", "bart_base", *sizes(BOTH, 16, 2), *POSITIONS)
BIG = ("--arch", "transformer", *sizes(BOTH, 16, 2), *POSITIONS)
ROBERTA = ("--arch", "roberta", *sizes(ENCODER, 16, 2), "--max-positions", 64)
SMALL_ROBERTA = ("--arch", "roberta", *sizes(ENCODER, 8, 1), "--max-positions", 64)
GPT = ("--arch", "transformer_lm_gpt", *sizes(DECODER, 16, 2))
SMALL_GPT = ("--arch", "transformer_lm", *sizes(DECODER, 8, 1))
WIDTHS = [f"--{side}-{x}" for side in BOTH for x in ("embed-dim", "hidden-size")]
LSTM = ("--arch", "lstm", *(y for x in [*WIDTHS, "--decoder-out-embed-dim"] for y in (x, 8)))
KERNELS = [x for side in BOTH for x in (f"--{side}-kernel-size-list", "[3,3]")]
CONVS = [x for side in BOTH for x in (f"--{side}-conv-dim", 16)]
LIGHTCONV = ("--arch", "lightconv", *sizes(BOTH, 16, 2), *KERNELS, *CONVS, *POSITIONS)
MBART_STUDENT = ("--arch", "mbart_large", *sizes(BOTH, 8, 1), *POSITIONS)
MBART_LARGE = ("--arch", "mbart_large", *sizes(BOTH, 16, 2), *POSITIONS)

parallel, mono, labeled = toy.write_parallel, toy.write_monolingual, toy.write_labeled
ROWS = [
    Row("bart, translation", "kd_ss", TRANSLATION, parallel, BART, STUDENT),
    Row("bart, denoising", "kd_ss", DENOISING, mono, BART, STUDENT),
    Row("mbart, denoising", "kd_ss", MULTI_DENOISING, by_language, MBART_LARGE, MBART_STUDENT),
    Row("mbart, translation", "kd_ss", MBART, parallel, MBART_LARGE, STUDENT),
    Row("nllb, m2m", "kd_ss", NLLB, parallel, BIG, STUDENT),
    Row("lstm", "kd_ss", TRANSLATION, parallel, LSTM, STUDENT),
    Row("lightconv", "kd_ss", TRANSLATION, parallel, LIGHTCONV, STUDENT),
    Row("roberta, masked", "kd_mlm", MLM, mono, ROBERTA, SMALL_ROBERTA),
    Row("xlm-r, masked", "kd_mlm", XLMR, by_language, ROBERTA, SMALL_ROBERTA),
    Row("roberta, classes", "kd_lu", LU, labeled, ROBERTA, SMALL_ROBERTA),
    Row("bart, classes", "kd_lu", BART_LU, labeled, BART, SMALL_ROBERTA),
    Row("gpt, pre-training", "kd_clm", LM, mono, GPT, SMALL_GPT),
    Row("gpt, fine-tuning", "kd_lm", LM, mono, GPT, SMALL_GPT),
]
BY_NAME = {row.name: row for row in ROWS}
