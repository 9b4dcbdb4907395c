"""The student's configuration for `init-student`, compared with the teacher's."""

import difflib
import warnings
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, NoReturn

import fairseq.criterions as criterions
import fairseq.models as models
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

from ..checkpoints.building import value_of
from ..checkpoints.strip import stock_criterion
from .sizes import FAMILIES, family_of


def check_arch(arch: str, teacher: Any) -> tuple[str, ...]:
    """Refuse an architecture that fairseq does not know or that is of another family.

    Args:
        arch: `--arch`; `teacher`: the model section of the teacher's configuration.
    Returns:
        encoder, decoder or both, which the family has.
    Raises:
        ValueError: names what comes close, or the families.
    """
    if arch not in models.ARCH_MODEL_REGISTRY:
        close = difflib.get_close_matches(arch, models.ARCH_MODEL_REGISTRY, n=4, cutoff=0.5)
        hint = f"; close to it: {', '.join(close)}" if close else ""
        raise ValueError(f"--arch {arch}: fairseq knows no architecture of this name{hint}")
    family = family_of(teacher, "--teacher")
    student = str(models.ARCH_MODEL_NAME_REGISTRY[arch])
    if FAMILIES.get(student) != FAMILIES[family]:
        raise ValueError(
            f"--arch {arch}: expected an architecture of the teacher's model family {family}, "
            f"got one of {student}"
        )
    return FAMILIES[family]


def parse_student(arch: str, flags: Sequence[str], teacher: Any, data: str) -> Any:
    """Return the configuration of `fairseq-train DATA --arch ARCH FLAGS` on the teacher's task.

    Args:
        flags: any flag of fairseq-train.
        teacher: the teacher's configuration; the values of its task and criterion are defaults.
        data: the folder of binarized data.
    Raises:
        ValueError: a flag that fairseq does not know, or a value that it refuses.
    """
    task = str(value_of(teacher.task, "_name") or value_of(teacher.task, "task"))
    if task not in tasks.TASK_REGISTRY:
        raise ValueError(f"--teacher: neither fairseq nor this plug-in knows its task {task}")
    defaults = _stored(tasks.TASK_REGISTRY[task], teacher.task)
    argv = [data, *flags, "--arch", arch, "--task", task]
    criterion = stock_criterion(value_of(teacher.criterion, "_name"))
    if criterion in criterions.CRITERION_REGISTRY:  # a task may refer to it
        defaults |= _stored(criterions.CRITERION_REGISTRY[criterion], teacher.criterion)
        argv += ["--criterion", str(criterion)]
    parser = options.get_training_parser()

    def refuse(message: str) -> NoReturn:
        raise ValueError(f"--arch {arch}: fairseq's parser says: {message}")

    parser.error = refuse
    args = options.parse_args_and_arch(
        parser, argv, modify_parser=lambda p: p.set_defaults(**defaults)
    )
    with warnings.catch_warnings():  # hydra's, about fairseq's use of it
        warnings.simplefilter("ignore", UserWarning)
        return convert_namespace_to_omegaconf(args)


def _stored(part: Any, section: Any) -> dict[str, Any]:
    """Return the values in a section of a configuration for the flags of a task or criterion."""
    parser = ArgumentParser(add_help=False)
    part.add_args(parser)
    values = {action.dest: value_of(section, action.dest) for action in parser._actions}
    return {key: value for key, value in values.items() if value is not None and key != "data"}
