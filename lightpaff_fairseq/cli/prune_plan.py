"""`lightpaff prune-plan`: print the sizes of a model after pruning."""

import argparse
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from ..checkpoints.building import apply_arch_defaults
from ..checkpoints.reading import read_checkpoint
from ..flags import add_flags, at_least, flag, parse_flags, range_problems
from ..problems import Problems
from ..pruning.axes import whole_heads
from ..pruning.masked_checkpoint import load_model, model_flags
from ..pruning.plan import Plan, make_plan
from ..pruning.target import WAYS, WIDTH, Target

_LAYER = re.compile(r"\.\d+\.")


@dataclass(frozen=True)
class PlanRequest:
    """The model to plan for, and the target."""

    path: Path = flag("fairseq checkpoint to read", metavar="FILE")
    target_width: float | None = flag(
        "width to keep: up to 1 a share of the width, above 1 the width itself",
        None,
        metavar="N",
        expected=WIDTH,
    )
    target_params: str | None = flag(
        "number of parameters, as 17.3M, instead of --target-width", None, metavar="N"
    )
    multiple: int = flag(
        "round width and FFN units to multiples of this number; 1 = off",
        Target.multiple,
        metavar="N",
        expected=at_least(1),
    )
    attention: str = flag(
        "prune dimensions of every head, whole heads, or whichever is closer to the target",
        Target.attention,
        choices=WAYS,
    )


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Print which dimensions are pruned together, the sizes of the small model, "
        "and its number of parameters. The flags are those of the prunable tasks "
        "(--prune-target-width and so on)."
    )
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    add_flags(parser, PlanRequest)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the plan.

    Raises:
        ValueError: the checkpoint or the target cannot be used.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    request = parse_flags(args, PlanRequest)
    target = Target(
        request.target_width, request.target_params, request.multiple, request.attention
    )
    problems = Problems(range_problems(request))
    problems.extend(x for x in target.problems().messages if x not in problems.messages)
    problems.raise_if_any()
    state = read_checkpoint(request.path, "--path")
    apply_arch_defaults(state["cfg"].model)
    model = load_model(state, f"--path {request.path}")
    plan = make_plan(model, state["cfg"].model, target)
    print("\n".join(_report(request.path, plan, target)))
    return 0


def _report(path: Path, plan: Plan, target: Target) -> list[str]:
    before, after = plan.parameters
    lines = [
        f"{path}: {before:,} parameters -> {after:,} ({before / after:.1f}x smaller)",
        f"target: {_describe(target)}; width and FFN units are rounded to multiples of "
        f"{target.multiple}, the width also to a multiple of the heads or of a head's dimensions",
    ]
    for stack in plan.layout.student:
        teacher, student = plan.layout.sizes_of(stack)
        way = "whole heads" if whole_heads(teacher, student) else "dimensions of every head"
        lines.append(
            f"{stack}: width {student.width} of {teacher.width} "
            f"({student.width / teacher.width:.4f}); {student.heads} of {teacher.heads} heads, "
            f"{student.head_dim} of {teacher.head_dim} dimensions each (pruned: {way}); FFN "
            f"{student.ffn} of {teacher.ffn}"
        )
    lines.append("pruned together (* stands for every layer):")
    lines += _group_lines(plan)
    lines.append(f"architecture: {model_flags(plan.config)}")
    return lines


def _describe(target: Target) -> str:
    if target.width is None:
        return f"{target.params} parameters"
    return f"{target.width:g} of the width" if target.width <= 1 else f"width {target.width:g}"


def _group_lines(plan: Plan) -> list[str]:
    """Return the size of every kind of group, followed by its modules."""
    kept, sizes = plan.kept_sizes(), plan.groups.sizes
    rows: dict[tuple[str, str, str], int] = {}
    for group, names in plan.groups.tied.items():
        modules = dict.fromkeys(_LAYER.sub(".*.", name.rpartition(".")[0]) for name in names)
        size = f"{kept[group]} of {sizes[group]}"
        key = (_LAYER.sub(".*.", group), size, ", ".join(modules))
        rows[key] = rows.get(key, 0) + 1
    lines = []
    for (group, size, listed), times in rows.items():
        lines.append(f"  {group}: {size}" + (f", {times} times" if times > 1 else ""))
        lines.append(fill(listed, 100, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return lines
