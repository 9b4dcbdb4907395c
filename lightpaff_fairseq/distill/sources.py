"""What a distillation reads: the teacher and the data of each stage."""

from dataclasses import dataclass, replace
from pathlib import Path

from .data_info import TEST, TRAIN, VALID, DataInfo, inspect_data
from .settings import DistillSettings
from .teacher_info import PRETRAINING, TeacherInfo, criterion_of, inspect_teacher


@dataclass(frozen=True)
class Sources:
    """Teachers and data.

    Attributes:
        teacher, data: of fine-tuning.
        pretrained, text: of pre-training; both None: there is none.
    """

    teacher: TeacherInfo
    data: DataInfo
    pretrained: TeacherInfo | None = None
    text: DataInfo | None = None

    def at(self, settings: DistillSettings) -> "Sources":
        """Return the same content in the files that `settings` name."""
        teacher = replace(self.teacher, path=Path(str(settings.teacher)))
        moved = replace(self, teacher=teacher, data=replace(self.data, data=str(settings.data)))
        if self.pretrained is None or self.text is None:
            return moved
        pretrained = replace(self.pretrained, path=Path(str(settings.pretrained_teacher)))
        return replace(
            moved, pretrained=pretrained, text=replace(self.text, data=str(settings.text))
        )


def read_teacher(settings: DistillSettings) -> TeacherInfo:
    """Read the teacher.

    Raises:
        ValueError: it cannot be used, or is of a task that is not distilled.
    """
    teacher = inspect_teacher(Path(str(settings.teacher)), "--teacher")
    criterion_of(teacher)  # whether there is one
    return teacher


def read_sources(settings: DistillSettings, teacher: TeacherInfo) -> Sources:
    """Read the data of a teacher, and the files of pre-training.

    Raises:
        ValueError: a file cannot be used, the pre-trained teacher is of a task that does not fit,
            or the data are not the teacher's.
    """
    data = inspect_data(teacher, str(settings.data), "--data", (TRAIN, VALID, TEST))
    if settings.pretrained_teacher is None or settings.text is None:
        return Sources(teacher, data)
    pretrained = inspect_teacher(settings.pretrained_teacher, "--pretrained-teacher")
    task, _ = PRETRAINING[teacher.task]
    if pretrained.task != task:
        raise ValueError(
            f"--pretrained-teacher {pretrained.path}: expected a model of the task {task}, got one "
            f"of {pretrained.task}"
        )
    text = inspect_data(pretrained, str(settings.text), "--text", (TRAIN, VALID))
    return Sources(teacher, data, pretrained, text)
