"""The commands of the steps, as a user would type them."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoints.building import value_of
from ..data_shards import data_shards, shard_names
from ..export.export_quality import subwords_of
from ..pruning.one_shot import Sample
from .data_info import TEST, DataInfo, target_dictionary
from .schedule import LANGUAGE_MODELING, TRANSLATION, Rates
from .section_flags import task_flags
from .settings import DistillSettings
from .shape import Shape
from .steps import LIGHTPAFF, TRAIN
from .teacher_info import TeacherInfo

USER_DIR = Path(__file__).resolve().parent.parent
CRITERION_FLAGS = {
    "kd_ss": ("--label-smoothing", "0.1"),
    "kd_mssm": ("--label-smoothing", "0.1"),
    "kd_lu": ("--find-unused-parameters",),  # RoBERTa's other head, with several GPUs
}
TRAINING = (
    *("--optimizer", "adam", "--adam-betas", "(0.9, 0.98)", "--clip-norm", "1.0"),
    *("--weight-decay", "0.01", "--lr-scheduler", "polynomial_decay"),
)
# To resume in the middle of an epoch with the same batches, and to keep the disk small.
RUN = (
    *("--no-epoch-checkpoints", "--required-batch-size-multiple", "1", "--num-workers", "0"),
    "--skip-invalid-size-inputs-valid-test",  # as fairseq does with those of training
    *("--update-epoch-batch-itr", "True", "--log-format", "json", "--log-interval", "20"),
)
SERVED = "served"  # folder of the exported student
HYPOTHESES = "hypotheses"  # folder of the translations of the test split
Words = tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """A training task: the flags after `fairseq-train DATA` that say what a sample is.

    Attributes:
        data: the folders, joined by colons; task: `--task` and its flags.
        criterion: the name of the criterion.
        more: flags of this stage alone, the last of its command.
    """

    data: str
    task: Words
    criterion: str
    more: Words = ()


def stage_of(teacher: TeacherInfo, data: str, criterion: str) -> Stage:
    """Return the task of a teacher over some folders."""
    section = teacher.task_section
    name = str(section._name)
    is_regression = value_of(section, "regression_target")  # a flag of the criterion
    more = ("--regression-target",) if is_regression else ()
    return Stage(data, ("--task", name, *task_flags(name, section), *more), criterion)


@dataclass(frozen=True)
class Commands:
    """Builds the commands of one distillation."""

    settings: DistillSettings
    out: Path
    teacher: TeacherInfo
    data: DataInfo

    def at(self, name: str) -> str:
        """Return the path of an output; of several, joined by colons."""
        return ":".join(str(self.out / part) for part in name.split(":"))

    def per_folder(self, name: str) -> str:
        """Return the outputs of a step that writes a folder per folder of the data."""
        return ":".join(shard_names(name, self.data.data))

    @property
    def remove_bpe(self) -> str:
        """The value of `--remove-bpe` for the target dictionary."""
        return subwords_of(target_dictionary(self.data.task)) or "none"

    def strip(self, source: str, output: str) -> Words:
        """Return the command that strips a checkpoint, in float32 whatever its weights are."""
        words = (LIGHTPAFF, "strip", "--path", source, "--out", self.at(output))
        return (*words, "--dtype", "float32")

    def initialize(self, teacher: TeacherInfo, shape: Shape, data: DataInfo, output: str) -> Words:
        """Return the command that cuts the student out of a teacher.

        Args:
            data: on which the importance of the teacher's dimensions is measured.
        """
        tokens = max(Sample.max_tokens, data.amount.longest)
        batches = min(Sample.batches, max(1, data.amount.tokens // tokens))
        return (
            *(LIGHTPAFF, "init-student", "--teacher", str(teacher.path), *shape.flags),
            *("--width-by", "importance", "--data", data.first),
            *("--importance-batches", str(batches), "--importance-max-tokens", str(tokens)),
            *("--out", self.at(output)),
        )

    def cache(self, stage: Stage, output: str) -> Words:
        """Return the command that stores the teacher's outputs on a training split."""
        words = (*self.launch, LIGHTPAFF, "cache-teacher", "--path", str(self.teacher.path))
        return (*words, "--out", self.at(output), stage.data, *stage.task)

    def train(
        self, stage: Stage, shape: Shape, rates: Rates, knowledge: Words, output: str
    ) -> Words:
        """Return a training.

        Args:
            knowledge: `--kd-*` flags, and `--finetune-from-model`.
            output: name of the folder of checkpoints.
        """
        settings = self.settings
        batch = ("--batch-size", str(rates.batch_size)) if rates.batch_size else ()
        return (
            *self.launch,
            *(TRAIN, stage.data, "--user-dir", str(USER_DIR), *stage.task, *shape.flags),
            *("--criterion", stage.criterion, *CRITERION_FLAGS.get(stage.criterion, ())),
            *knowledge,
            *self._selection(stage, knowledge),
            *TRAINING,
            *("--lr", f"{rates.lr:g}", "--warmup-updates", str(rates.warmup_updates)),
            *("--max-update", str(rates.updates), "--total-num-update", str(rates.updates)),
            *("--max-tokens", str(rates.max_tokens), *batch, "--dropout", f"{rates.dropout:g}"),
            *("--attention-dropout", f"{rates.dropout:g}"),
            *("--seed", str(settings.seed), *RUN, "--save-dir", self.at(output)),
            *shlex.split(settings.train_flags),
            *stage.more,
        )

    def _selection(self, stage: Stage, knowledge: Words) -> Words:
        """Return the flags that choose the best checkpoint by the quality that users see.

        With lambda 1, the label loss of validation is no measure: students whose BLEU still rises
        have passed its minimum. For classifiers, accuracy is one, but of few sentences: it chooses
        by chance (docs/distill.md), and the last checkpoint is better.
        """
        best = ("--maximize-best-checkpoint-metric", "--best-checkpoint-metric")
        is_taught = knowledge[knowledge.index("--kd-lambda") + 1] == "1"
        if ends_last(self.settings, stage.criterion, is_taught):
            return (*best, "num_updates")
        patience = self.settings.patience
        if patience is None:  # fairseq validates after every folder
            patience = 5 * len(data_shards(stage.data))
        patient = ("--patience", str(patience)) if patience else ()
        if stage.criterion == "kd_lu" and "--regression-target" not in stage.task:
            return (*best, "accuracy", *patient)
        if stage.criterion != "kd_ss":
            return patient
        best = (*patient, *best)
        bpe = () if self.remove_bpe == "none" else ("--eval-bleu-remove-bpe", self.remove_bpe)
        return (*best, "bleu", "--eval-bleu", "--eval-bleu-args", '{"beam": 1}', *bpe)

    def sequence_data(self, backend: str, output: str) -> Words:
        """Return the command that translates the training split with the teacher."""
        return (
            *(*self.launch, LIGHTPAFF, "seq-kd", "--path", str(self.teacher.path)),
            *("--out", self.at(output), self.data.data, *self.languages),
            *("--backend", backend, "--beam", "5", "--max-tokens", "8000"),
        )

    @property
    def launch(self) -> Words:
        """The launcher of the steps that several processes share."""
        return tuple(shlex.split(self.settings.launch))

    @property
    def languages(self) -> Words:
        cfg: Any = self.data.task.cfg  # languages that were not given are those of the files
        return ("--source-lang", cfg.source_lang, "--target-lang", cfg.target_lang)

    def evaluate(
        self, names: dict[str, str], others: dict[str, str], references: str, output: str
    ) -> Words:
        """Return the evaluation of checkpoints on the test split.

        Args:
            names: checkpoints by title; others: data of those with other dictionaries.
        """
        words = [LIGHTPAFF, "evaluate", self.data.first, "--task", task := self.teacher.task]
        words += ["--gen-subset", TEST, "--repeats", "1", "--out", self.at(output)]
        words += ["--path", *(self.at(path) for path in names.values()), "--name", *names]
        if others:
            words += ["--data-of", *(f"{name}={folder}" for name, folder in others.items())]
        if task == TRANSLATION:
            words += ["--references", references, "--remove-bpe", self.remove_bpe]
            words += ["--hypotheses", self.at(HYPOTHESES)]
            more = shlex.join(self._positions())
            words += ["--generate-flags", more] if more else []
        if task == LANGUAGE_MODELING:
            words += ["--tokens-per-sample", str(self.teacher.task_section.tokens_per_sample)]
        return tuple(words)

    def _positions(self) -> Words:
        """Return the flags of fairseq-generate that a length limit of the teacher's task needs."""
        section = self.teacher.task_section
        words: list[str] = [*self.languages]
        for name in ("max_source_positions", "max_target_positions"):
            value = getattr(section, name, None)
            if value is not None:
                words += [f"--{name.replace('_', '-')}", str(value)]
        if getattr(section, "truncate_source", False):
            words.append("--truncate-source")
        return tuple(words)


def ends_last(settings: DistillSettings, criterion: str, is_taught: bool) -> bool:
    """Return whether a training runs to its end, and its last checkpoint is the student.

    Args:
        is_taught: by the teacher alone, lambda 1.
    """
    return criterion == "kd_lu" and is_taught and settings.patience is None
