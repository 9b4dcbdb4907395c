"""`lightpaff prune-plan`: what a prunable task would make of a model."""

import argparse
import logging
import re
from pathlib import Path
from textwrap import fill

from ..checkpoints.building import apply_arch_defaults
from ..checkpoints.reading import read_checkpoint
from ..pruning.axes import whole_heads
from ..pruning.masked_checkpoint import described, load_model
from ..pruning.plan import Plan, make_plan
from ..pruning.target import WAYS, Target

_LAYER = re.compile(r"\.\d+\.")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Prints which dimensions are pruned together, the sizes of the small model, "
        "and its number of parameters. The flags are those of the prunable tasks "
        "(--prune-target-width and so on)."
    )
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    add = parser.add_argument
    add("--path", required=True, type=Path, metavar="FILE", help="fairseq checkpoint to read")
    text = "up to 1 the part of the width that is kept, above 1 the width itself"
    add("--target-width", type=float, metavar="N", help=text)
    add("--target-params", metavar="N", help="instead: a number of parameters, as 17.3M")
    default = Target()
    text = "width and FFN units become multiples of this; 1 = off"
    add("--multiple", type=int, default=default.multiple, metavar="N", help=text)
    text = "what attention loses: dimensions of every head, whole heads, or what comes closer"
    add("--attention", choices=WAYS, default=default.attention, help=text)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints the plan.

    Raises:
        ValueError: the checkpoint or the target cannot be used.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    target = Target(args.target_width, args.target_params, args.multiple, args.attention)
    problems = target.problems()
    if problems:
        raise ValueError("; ".join(problems))
    state = read_checkpoint(args.path, "--path")
    apply_arch_defaults(state["cfg"].model)
    model = load_model(state, f"--path {args.path}")
    plan = make_plan(model, state["cfg"].model, target)
    print("\n".join(_report(args.path, plan, target)))
    return 0


def _report(path: Path, plan: Plan, target: Target) -> list[str]:
    before, after = plan.parameters
    lines = [
        f"{path}: {before:,} parameters -> {after:,} ({before / after:.1f}x smaller)",
        f"asked for: {_asked(target)}; width and FFN units are rounded to multiples of "
        f"{target.multiple}, the width also to what the heads or a head's dimensions divide",
    ]
    for side, student in plan.layout.student.items():
        teacher = plan.layout.teacher[side]
        way = "whole heads go" if whole_heads(teacher, student) else "every head loses dimensions"
        lines.append(
            f"{side}: width {student.width} of {teacher.width} "
            f"({student.width / teacher.width:.4f}); {student.heads} of {teacher.heads} heads, "
            f"{student.head_dim} of {teacher.head_dim} dimensions each ({way}); FFN "
            f"{student.ffn} of {teacher.ffn}"
        )
    lines.append("pruned together (* stands for every layer):")
    lines += _group_lines(plan)
    lines.append(f"architecture: {described(plan.config)}")
    return lines


def _asked(target: Target) -> str:
    if target.width is None:
        return f"{target.params} parameters"
    return f"{target.width:g} of the width" if target.width <= 1 else f"width {target.width:g}"


def _group_lines(plan: Plan) -> list[str]:
    """A line a kind of group, and the modules that it ties."""
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
