"""The shape of a student that exists already, for a teacher."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..pruning.sizes import Sizes
from .shape import Shape, measure, projections, stock_arch
from .teacher_info import TeacherInfo, inspect_teacher


def shape_of_file(path: Path, teacher: TeacherInfo) -> Shape:
    """Return the shape of a student's checkpoint, pre-trained or fine-tuned.

    Raises:
        ValueError: it is not a checkpoint, or does not fit into the teacher.
    """
    flag = f"--init {path}"
    student = inspect_teacher(path, flag)
    if student.sides != teacher.sides or student.vocabulary != teacher.vocabulary:
        raise ValueError(
            f"{flag}: expected a student of the teacher's family ({teacher.family}) with its "
            f"{teacher.vocabulary:,} tokens, got {student.family} with {student.vocabulary:,}"
        )
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
