"""The shape of a student that exists already, for a teacher."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checkpoints.dictionaries import check_trained_with
from ..pruning.sizes import Sizes
from .data_info import DataInfo
from .shape import Shape, measure, projections, stock_arch
from .teacher_info import TeacherInfo, inspect_teacher


def shape_of_file(path: Path, teacher: TeacherInfo, data: DataInfo) -> Shape:
    """Return the shape of a student's checkpoint, pre-trained or fine-tuned.

    Raises:
        ValueError: it is not a checkpoint, does not fit into the teacher, or has other tokens than
            the data of the training.
    """
    flag = f"--init {path}"
    student = inspect_teacher(path, flag)
    if student.sides != teacher.sides or student.vocabulary != teacher.vocabulary:
        raise ValueError(
            f"{flag}: expected a student of the teacher's family ({teacher.family}) with its "
            f"{teacher.vocabulary:,} tokens, got {student.family} with {student.vocabulary:,}"
        )
    named = ("--init", path)
    check_trained_with(named, student.task_section, data.task, "--data")
    sizes = {side: student.sizes(side) for side in student.sides}
    return same_shape(sizes, teacher, flag)


def same_shape(sizes: Mapping[str, Sizes], teacher: TeacherInfo, flag: str) -> Shape:
    """Return the student of given sizes for a teacher, such as the pre-trained one.

    Args:
        flag: named in errors.
    """
    changed: dict[str, Any] = {}
    for side, size in sizes.items():
        changed |= {
            f"{side}_layers": size.layers,
            f"{side}_embed_dim": size.width,
            f"{side}_ffn_embed_dim": size.ffn,
            f"{side}_attention_heads": size.heads,
        }
    changed |= projections(teacher, min(size.width for size in sizes.values()))
    return measure(teacher, *stock_arch(teacher, changed), flag)
