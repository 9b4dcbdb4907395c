"""Plan a distillation: look at the files, time this machine, choose, and lay out the steps."""

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..export.export_formats import model_problem, package_problem
from ..export.loaded_model import CheckpointInfo
from .choices import (
    ASKED,
    Choice,
    describe_data,
    describe_pretraining,
    describe_rates,
    describe_shortlist,
    describe_student,
    describe_teacher,
)
from .commands import Commands, ends_last, stage_of
from .data_info import reference_texts
from .decisions import (
    check_report,
    check_sequences,
    check_shortlist,
    check_tokens,
    choose_cache,
    choose_sequences,
    choose_tokenizer,
)
from .fewer_tokens import fewer_tokens, files_in, trimming_steps
from .layout import Inputs, Pretraining, knowledge_online, lay_out
from .probe import Speed, Timings, seconds_per_update, untrained_speeds
from .same_shape import same_shape, shape_of_file
from .schedule import TRANSLATION, choose_rates, pretraining_rates
from .section_flags import quoted
from .settings import AUTO, NONE, RANDOM, TEACHER, DistillSettings
from .shape import Shape, choose_shape, stock_arch
from .sources import Sources, read_sources, read_teacher
from .steps import Lanes, Step
from .teacher_info import PRETRAINING, TeacherInfo, criterion_of

SERVE = {
    "translation": "ctranslate2:int8",
    "language_modeling": "ctranslate2:int8",
    "sentence_prediction": "onnx:int8",
}


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        choices: printed; `stages`: groups of steps, one after the other.
        references: text of the test split's targets, where no `--references` are given.
    """

    choices: tuple[Choice, ...]
    stages: tuple[Lanes, ...]
    references: tuple[str, ...] = ()

    @property
    def steps(self) -> list[Step]:
        """All steps, in the order of the script."""
        return [step for lanes in self.stages for lane in lanes for step in lane]

    @property
    def minutes(self) -> float:
        """The estimate for all steps; lanes run side by side."""
        return sum(max(sum(s.minutes for s in lane) for lane in lanes) for lanes in self.stages)


def make_plan(settings: DistillSettings) -> Plan:
    """Return the plan.

    Raises:
        ValueError: a file cannot be used, the parts do not fit, or a probe fails.
    """
    out = Path(str(settings.out)).absolute()
    teacher = read_teacher(settings)
    check_report()
    settings = _choose_serving(settings, teacher)
    settings, tokenizer = choose_tokenizer(settings, teacher)
    check_sequences(settings, teacher)
    check_tokens(settings, teacher)
    whole = read_sources(settings, teacher)
    with fewer_tokens(settings, whole) as cut:
        inputs = _inputs(settings, whole, cut.sources, out)
        timings = _time(inputs)
    trimming = trimming_steps(settings, out, cut.minutes)
    inputs = replace(_moved(inputs, files_in(settings, out)), timings=timings, trimming=trimming)
    teacher, data, rates = inputs.teacher, inputs.commands.data, inputs.rates
    use_cache, outputs = choose_cache(settings, data, rates, timings)
    sequences, targets = choose_sequences(settings, teacher, data, rates, timings)
    inputs = replace(inputs, use_cache=use_cache, sequences=sequences)
    choices = [describe_teacher(whole.teacher), describe_data(whole.data), *tokenizer]
    choices += cut.choices
    choices += describe_student(settings, teacher, inputs.shape, timings.speed)
    if inputs.pretraining:
        choices.append(describe_pretraining(settings, inputs.pretraining.rates))
    is_last = ends_last(settings, inputs.stage.criterion, settings.kd_lambda == 1)
    choices += describe_rates(settings, rates, is_last)
    choices += [_describe_start(settings), _describe_loss(settings), outputs, *targets]
    references, choice = _references(inputs)
    choices += [*describe_shortlist(settings, sequences), *choice]
    return Plan(tuple(choices), lay_out(inputs, _side_by_side(settings)), references)


def _inputs(settings: DistillSettings, whole: Sources, used: Sources, out: Path) -> Inputs:
    """Return what the steps are made of, before anything is timed.

    Args:
        used: teachers and data of the trainings; `whole`: before their vocabulary is cut.
    """
    teacher, data, start = used.teacher, used.data, settings.init_file
    shape = shape_of_file(start, teacher, data) if start else choose_shape(settings, teacher)
    return Inputs(
        whole=whole,
        trimming=(),
        commands=Commands(settings, out, teacher, data),
        shape=shape,
        stage=stage_of(teacher, data.data, criterion_of(teacher)),
        rates=choose_rates(settings, teacher, data.amount, shape.width),
        pretraining=_plan_pretraining(settings, used, shape),
        timings=Timings(0, 0, 0, Speed(1, 1, None)),
        use_cache=False,
        sequences=None,
    )


def _moved(inputs: Inputs, settings: DistillSettings) -> Inputs:
    """Return the same inputs with the teachers and data in the files that `settings` name."""
    commands, first = inputs.commands, inputs.pretraining
    read = (first.teacher, first.data) if first else (None, None)
    moved = Sources(commands.teacher, commands.data, *read).at(settings)
    if first and moved.pretrained and moved.text:
        stage = replace(first.stage, data=moved.text.data)
        first = replace(first, teacher=moved.pretrained, data=moved.text, stage=stage)
    return replace(
        inputs,
        commands=replace(commands, settings=settings, teacher=moved.teacher, data=moved.data),
        stage=replace(inputs.stage, data=moved.data.data),
        pretraining=first,
    )


def _references(inputs: Inputs) -> tuple[tuple[str, ...], list[Choice]]:
    """Return the texts of a translation's test split, unless the user gave them."""
    if inputs.teacher.task != TRANSLATION or inputs.settings.references:
        return (), []
    texts, unknown = reference_texts(inputs.whole.data, inputs.commands.remove_bpe)
    reason = f"{unknown} of {len(texts)} contain <unk>" if unknown else "None contains <unk>"
    choice = Choice("references", "the binarized targets of the test split", reason, "--references")
    return tuple(texts), [choice]


def _choose_serving(settings: DistillSettings, teacher: TeacherInfo) -> DistillSettings:
    """Choose the format for `--serve auto`, and check that it takes the student.

    Raises:
        ValueError: a package is not installed, or the format does not support the model.
    """
    serve = SERVE[teacher.task] if settings.serve == AUTO else settings.serve
    if serve != NONE:
        name = serve.split(":")[0]
        info = CheckpointInfo(teacher.path, {}, teacher.student_family, teacher.task, "--teacher")
        problem = package_problem(name, "--serve") or model_problem(name, info)
        if problem:
            raise ValueError(f"{problem}, or --serve none")
    check_shortlist(settings, teacher.task, serve)
    return replace(settings, serve=serve)


def _plan_pretraining(settings: DistillSettings, used: Sources, shape: Shape) -> Pretraining | None:
    """Plan the first stage, where there is a pre-trained teacher and text."""
    teacher, data = used.pretrained, used.text
    if teacher is None or data is None:
        return None
    rates = pretraining_rates(settings, data.amount, shape.width)
    _, criterion = PRETRAINING[used.teacher.task]
    more = tuple(shlex.split(settings.pretrain_flags))
    stage = replace(stage_of(teacher, data.data, criterion), more=more)
    same = same_shape(shape.sizes, teacher, "--pretrained-teacher")
    return Pretraining(teacher, same, data, stage, rates)


def _time(inputs: Inputs) -> Timings:
    """Time a few updates, which may fail, and then untrained models."""
    commands, teacher, settings = inputs.commands, inputs.teacher, inputs.settings
    start = inputs.start if settings.init_file else ()  # whether it fits is seen here, too
    plain, *both = (
        seconds_per_update(commands.train(stage, inputs.shape, inputs.rates, words, "probe"))
        for weight in dict.fromkeys((0.0, settings.kd_lambda))
        for stage in [inputs.distillation if weight else inputs.stage]
        for words in [(*knowledge_online(teacher.path, weight), *start)]
    )
    first, seconds = inputs.pretraining, 0.0
    if first:
        kd = knowledge_online(first.teacher.path, settings.pretraining_lambda)
        seconds = seconds_per_update(
            commands.train(first.stage, first.shape, first.rates, kd, "probe")
        )
    serve, (arch, flags) = settings.serve, stock_arch(teacher, {})
    speed = untrained_speeds(
        teacher.task,
        (quoted((arch, *flags)), quoted(inputs.shape.flags[1:])),
        teacher.vocabulary,
        commands.data.amount.mean_length,
        None if serve == NONE or serve.startswith("hf") else serve.replace(":", "-"),
    )
    return Timings(plain, max([plain, *both]), seconds, speed)


def _describe_start(settings: DistillSettings) -> Choice:
    if settings.init_file:
        return Choice("start", str(settings.init_file), ASKED, "--init")
    if settings.init == RANDOM:
        value, reason = "random weights", ASKED
    else:
        value = "the teacher's most important dimensions"
        reason = "Worth more than any other choice (docs/guideline.md)"
    if settings.text:
        weight = settings.pretraining_lambda
        kind = f"with distillation, lambda {weight:g}" if weight else "without distillation"
        if settings.init == TEACHER:
            reason = "On little text this cost 2 BLEU against no pre-training (docs/distill.md)"
        return Choice("start", f"{value}, then pre-training {kind}", reason, "--init, --text")
    return Choice("start", value, reason, "--init")


def _describe_loss(settings: DistillSettings) -> Choice:
    weight = settings.kd_lambda
    values = {0.0: "the labels alone, no distillation", 1.0: "lambda 1: the teacher alone"}
    reason = "The labels added nothing to the teacher (docs/guideline.md)" if weight == 1 else ASKED
    return Choice("loss", values.get(weight, f"lambda {weight:g}"), reason, "--kd-lambda")


def _side_by_side(settings: DistillSettings) -> bool:
    """Return true if two trainings fit on this machine at the same time."""
    cores = len(os.sched_getaffinity(0))
    return settings.baseline and not torch.cuda.is_available() and cores > 1
