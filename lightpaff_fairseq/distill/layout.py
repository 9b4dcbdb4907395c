"""Lay out the steps of a distillation."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from ..huggingface.conversion import MODEL
from .commands import SERVED, Commands, Stage, Words
from .data_info import TEST, DataInfo
from .fewer_tokens import TRIMMED
from .probe import Timings
from .schedule import TRANSLATION, Rates
from .serving_commands import benchmark, export
from .settings import NONE, RANDOM, TEACHER, DistillSettings
from .shape import Shape
from .sources import Sources
from .steps import LIGHTPAFF, Lanes, Step
from .teacher_info import TeacherInfo

REFERENCES = "references.txt"
SEQUENCES, CACHE = "sequence_data", "cache"


@dataclass(frozen=True)
class Pretraining:
    """The first stage, where a pre-trained teacher and text are given.

    Attributes:
        teacher: before fine-tuning; `shape`: of the student in this stage.
        data: the text; `stage`: its task; `rates`: the settings of the training.
    """

    teacher: TeacherInfo
    shape: Shape
    data: DataInfo
    stage: Stage
    rates: Rates


@dataclass(frozen=True)
class Inputs:
    """All that the steps are made of.

    Attributes:
        whole: teachers and data before their vocabulary is cut; trimming: the steps that do that.
        sequences: the backend that decodes targets, or None.
    """

    whole: Sources
    trimming: tuple[Step, ...]
    commands: Commands
    shape: Shape
    stage: Stage
    rates: Rates
    pretraining: Pretraining | None
    timings: Timings
    use_cache: bool
    sequences: str | None

    @property
    def settings(self) -> DistillSettings:
        return self.commands.settings

    @property
    def teacher(self) -> TeacherInfo:
        return self.commands.teacher

    @property
    def distillation(self) -> Stage:
        """The task of the fine-tuning with distillation: with --kd-flags."""
        more = (*self.stage.more, *shlex.split(self.settings.kd_flags))
        return replace(self.stage, more=more)

    @property
    def start(self) -> Words:
        """The flag of the checkpoint from which the fine-tuning starts; none: random weights."""
        if self.settings.init_file:
            return ("--finetune-from-model", str(self.settings.init_file))
        return self._from("pretrained.pt") if self.pretraining else self.first_start

    @property
    def first_start(self) -> Words:
        """The same for the first stage."""
        return () if self.settings.init == RANDOM else self._from("initial.pt")

    @property
    def timed_teacher(self) -> str:
        """The stripped teacher with the students' dictionary, in OUT."""
        return f"{TRIMMED}/{MODEL}" if self.trimming else "teacher.pt"

    def _from(self, name: str) -> Words:
        return ("--finetune-from-model", self.commands.at(name))


def lay_out(inputs: Inputs, side_by_side: bool) -> tuple[Lanes, ...]:
    """Return groups of steps; each begins when the one before has ended.

    Args:
        side_by_side: train the student without distillation at the same time.
    """
    commands = inputs.commands
    strip = commands.strip(str(inputs.whole.teacher.path), "teacher.pt")
    first = (Step("teacher", "Strip the teacher", strip, "teacher.pt"), *inputs.trimming)
    lanes = [[*_start(inputs), *_fine_tuning(inputs)]]
    if inputs.settings.baseline:
        lanes.append(_baseline(inputs))
    if not side_by_side:
        lanes = [[step for lane in lanes for step in lane]]
    return (first,), tuple(tuple(lane) for lane in lanes), (tuple(_results(inputs)),)


def _start(inputs: Inputs) -> list[Step]:
    """Return the steps that make the checkpoint from which the fine-tuning starts."""
    stage, commands = inputs.pretraining, inputs.commands
    teacher = stage.teacher if stage else inputs.teacher
    shape, data = (stage.shape, stage.data) if stage else (inputs.shape, commands.data)
    steps = []
    if inputs.settings.init == TEACHER:
        words = commands.initialize(teacher, shape, data, "initial.pt")
        title = "Cut the student out of the teacher"
        steps.append(Step("initialize", title, words, "initial.pt", 0.3))
    if stage is None:
        return steps
    weight = inputs.settings.pretraining_lambda
    knowledge = (*knowledge_online(stage.teacher.path, weight), *inputs.first_start)
    words = commands.train(stage.stage, stage.shape, stage.rates, knowledge, "pretraining")
    minutes = stage.rates.updates * inputs.timings.pretraining / 60
    title = f"Pre-train the student {_how(weight)}"
    return [
        *steps,
        Step("pretraining", title, words, "pretraining", minutes, False),
        _strip_best(commands, "pretraining", "pretrained.pt"),
    ]


def _fine_tuning(inputs: Inputs) -> list[Step]:
    commands, stage, kd_lambda = inputs.commands, inputs.distillation, inputs.settings.kd_lambda
    steps = []
    if inputs.sequences:
        output = commands.per_folder(SEQUENCES)
        stage = replace(stage, data=commands.at(output))
        words = commands.sequence_data(inputs.sequences, output)
        minutes = commands.data.amount.samples / inputs.timings.speed.teacher / 60
        steps.append(
            Step(SEQUENCES, "Translate the training data with the teacher", words, output, minutes)
        )
    if inputs.use_cache:
        passes = inputs.rates.per_epoch * (inputs.timings.online - inputs.timings.plain)
        output = commands.per_folder(CACHE)
        words = commands.cache(stage, output)
        steps.append(Step(CACHE, "Store the teacher's outputs", words, output, passes / 60, False))
        knowledge: Words = ("--kd-cache", commands.at(output), "--kd-lambda", f"{kd_lambda:g}")
        seconds = inputs.timings.plain
    else:
        knowledge = knowledge_online(inputs.teacher.path, kd_lambda)
        if kd_lambda:
            knowledge = (*knowledge, "--kd-teacher-data", commands.data.first)
        seconds = inputs.timings.online
    knowledge = (*knowledge, *inputs.start)
    words = commands.train(stage, inputs.shape, inputs.rates, knowledge, "training")
    minutes = inputs.rates.updates * seconds / 60
    title = f"Train the student {_how(kd_lambda)}"
    return [
        *steps,
        Step("training", title, words, "training", minutes, False),
        _strip_best(commands, "training", "student.pt"),
    ]


def knowledge_online(teacher: Path, weight: float) -> Words:
    """Return the flags of a training with the teacher in every update; weight 0: without it."""
    words = ("--kd-lambda", f"{weight:g}")
    return ("--kd-teacher", str(teacher), *words) if weight else words


def _how(weight: float) -> str:
    return "with distillation" if weight else "without distillation"


def _baseline(inputs: Inputs) -> list[Step]:
    commands = inputs.commands
    knowledge = knowledge_online(inputs.teacher.path, 0)
    words = commands.train(inputs.stage, inputs.shape, inputs.rates, knowledge, "baseline_training")
    minutes = inputs.rates.updates * inputs.timings.plain / 60
    title = "Train the same student without distillation"
    return [
        Step("baseline_training", title, words, "baseline_training", minutes, False),
        _strip_best(commands, "baseline_training", "baseline.pt"),
    ]


def _strip_best(commands: Commands, folder: str, output: str) -> Step:
    words = commands.strip(commands.at(f"{folder}/checkpoint_best.pt"), output)
    return Step(Path(output).stem, "Strip its best checkpoint", words, output)


def _results(inputs: Inputs) -> list[Step]:
    out = inputs.commands.out
    words = (LIGHTPAFF, "report", str(out), "--out", str(out / "report.html"))
    report = (*words, "--title", "Distillation")
    return [
        _evaluation(inputs),
        *_serving(inputs),
        Step("report", "Write the report", report, "report.html", 0.2),
    ]


def _evaluation(inputs: Inputs) -> Step:
    commands = inputs.commands
    names, others = {"teacher": "teacher.pt"}, {}
    if inputs.trimming:
        names[f"teacher, {inputs.teacher.vocabulary:,} tokens"] = inputs.timed_teacher
        others = {"teacher": inputs.whole.data.first}
    if inputs.settings.baseline:
        names["student without distillation"] = "baseline.pt"
    names["student"] = "student.pt"
    references = str(inputs.settings.references or commands.at(REFERENCES))
    words = commands.evaluate(names, others, references, "results.json")
    title = "Compare with the teacher on the test split"
    return Step("evaluation", title, words, "results.json", _decoding_minutes(inputs, len(names)))


def _serving(inputs: Inputs) -> list[Step]:
    commands, serve = inputs.commands, inputs.settings.serve
    if serve == NONE:
        return []
    pairs = commands.data.data
    if inputs.sequences:
        pairs = commands.at(commands.per_folder(SEQUENCES))
    words = export(commands, serve, pairs)
    steps = [Step("export", f"Export to {serve}", words, SERVED, 0.5)]
    if not serve.startswith("hf"):
        words = benchmark(commands, inputs.timed_teacher, serve, "benchmark.json")
        minutes = 4 * _decoding_minutes(inputs, 3) + 0.3  # three rounds after a first run
        title = "Time teacher and student"
        steps.append(Step("benchmark", title, words, "benchmark.json", minutes))
    return steps


def _decoding_minutes(inputs: Inputs, models: int) -> float:
    """Return the time to run the test split, once per model."""
    if inputs.teacher.task != TRANSLATION:
        return 0.2 * models
    count = inputs.commands.data.sentences[TEST]
    speed = inputs.timings.speed
    return count * (1 / speed.teacher + (models - 1) / speed.student) / 60
