"""The pre-training setup of each model family, for benchmarks of whole updates."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """The pre-training setup of one family.

    Attributes:
        task, stock, kd: names of the task, its stock criterion, and the distillation criterion.
        student, teacher: default model flags; with a vocabulary of 8,192 the teacher is 5 to 7
            times larger.
    """

    task: str
    stock: str
    kd: str
    student: str
    teacher: str


FAMILIES = {
    "mass": Family(
        task="masked_seq2seq",
        stock="label_smoothed_cross_entropy",
        kd="kd_mssm",
        student="--arch mass_small",
        teacher="--arch mass_base --encoder-embed-dim 512 --encoder-ffn-embed-dim 2048 "
        "--encoder-attention-heads 8 --decoder-attention-heads 8",
    ),
    "bert": Family(
        task="masked_lm",
        stock="masked_lm",
        kd="kd_mlm",
        student="--arch roberta_6x256",
        teacher="--arch roberta_10x512",
    ),
    "gpt2": Family(
        task="language_modeling",
        stock="cross_entropy",
        kd="kd_clm",
        student="--arch transformer_lm_gpt2_mini",
        teacher="--arch transformer_lm_gpt2_student",
    ),
}
