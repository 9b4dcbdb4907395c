"""The plan of a pruning: from a model and a target to the architecture of the student."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairseq import models
from fairseq.modules import SinusoidalPositionalEmbedding
from torch import nn

from ..checkpoints.building import apply_arch_defaults, value_of, writable
from .axes import Groups, find_groups, kept_size
from .sizes import Layout, Sizes, plan_layout
from .student_config import FAMILIES
from .target import Target, nearest, parameters_in, ratios

_SIZE_NAMES = {
    "width": "embed_dim",
    "heads": "attention_heads",
    "ffn": "ffn_embed_dim",
}


@dataclass(frozen=True)
class Plan:
    """What becomes of a model.

    Attributes:
        groups: of the model.
        layout: sizes of model and student; their layers are the same.
        config: the model section of the student.
        parameters: of the model and of the student.
    """

    groups: Groups
    layout: Layout
    config: Any
    parameters: tuple[int, int]

    def is_idle(self) -> bool:
        """Whether nothing is pruned."""
        return self.layout.teacher == self.layout.student

    def kept_sizes(self) -> dict[str, int]:
        """The members that the student has of each group."""
        return {g: kept_size(g, size, self.layout) for g, size in self.groups.sizes.items()}


def make_plan(model: nn.Module, model_cfg: Any, target: Target) -> Plan:
    """Chooses the student's sizes.

    Args:
        model: a transformer, mass, roberta or transformer_lm; `model_cfg`: its section.
        target: what is asked for.
    Raises:
        ValueError: the architecture cannot be pruned (with the first parameter that is not
            understood), the target is out of range, or its embeddings cannot be rescaled.
    """
    cfg = copy.deepcopy(model_cfg)
    apply_arch_defaults(cfg)
    sides = family_sides(cfg)
    whole = plan_for(model, cfg, sizes_in(cfg, sides))
    problems = target.problems()
    if problems:
        raise ValueError("; ".join(problems))
    full, shared = whole.layout.teacher, whole.layout.shared
    if target.params is not None:
        return _by_parameters(model, cfg, whole, target)
    assert target.width is not None
    ratio = target.width
    if ratio > 1:
        _check_width(full, target)
        ratio = min(1.0, ratio / next(iter(full.values())).width)
    return plan_for(model, cfg, nearest(full, shared, target, ratio))


def _check_width(full: Mapping[str, Sizes], target: Target) -> None:
    widths = {sizes.width for sizes in full.values()}
    flag, width = target.flag("target-width"), target.width
    assert width is not None
    if len(widths) > 1:
        raise ValueError(
            f"{flag} {width:.0f}: expected a ratio up to 1, encoder and decoder have different "
            f"widths {sorted(widths)}"
        )
    if width > max(widths):
        raise ValueError(f"{flag} {width:.0f}: expected at most the model's {max(widths)}")


def _by_parameters(model: nn.Module, cfg: Any, whole: Plan, target: Target) -> Plan:
    """The plan whose number of parameters is closest."""
    wanted = parameters_in(target.params or "")
    assert wanted is not None
    full, shared = whole.layout.teacher, whole.layout.shared
    choices: dict[tuple[Sizes, ...], Mapping[str, Sizes]] = {}
    for ratio in ratios(full, target):
        try:
            sizes = nearest(full, shared, target, ratio)
        except ValueError:  # less than the smallest width
            continue
        choices[tuple(sizes.values())] = sizes
    counts = _possible_counts(model, cfg, choices)
    least, most = min(counts.values()), max(counts.values())
    if not least <= wanted <= most:
        raise ValueError(
            f"{target.flag('target-params')} {target.params}: expected {least:,} to {most:,} "
            f"parameters, found {wanted:,}"
        )
    best = min(counts, key=lambda key: abs(counts[key] - wanted))
    return plan_for(model, cfg, choices[best])


def _possible_counts(
    model: nn.Module, cfg: Any, choices: Mapping[Any, Mapping[str, Sizes]]
) -> dict[Any, int]:
    """The student's parameters for each choice of sizes that is possible; the whole model is."""
    counts, refused = {}, None
    for key, sizes in choices.items():
        try:
            counts[key] = plan_for(model, cfg, sizes).parameters[1]
        except ValueError as error:
            refused = error
    if refused is not None and len(counts) == 1:
        raise refused  # of no size, then; else of this width only
    return counts


def family_sides(cfg: Any) -> tuple[str, ...]:
    """The sides of a model section's family.

    Raises:
        ValueError: not one of the families that can be pruned.
    """
    name = str(value_of(cfg, "_name") or value_of(cfg, "arch"))
    family = models.ARCH_MODEL_NAME_REGISTRY.get(name, name)
    if family not in FAMILIES:
        raise ValueError(
            f"--arch {name}: expected a model of {', '.join(FAMILIES)} to prune, found {family}"
        )
    return FAMILIES[family]


def sizes_in(cfg: Any, sides: tuple[str, ...]) -> dict[str, Sizes]:
    """The sizes in a model section, a side."""
    names = ("layers", *_SIZE_NAMES.values())
    return {
        side: Sizes(*(int(value_of(cfg, f"{side}_{name}")) for name in names)) for side in sides
    }


def plan_for(model: nn.Module, cfg: Any, sizes: Mapping[str, Sizes]) -> Plan:
    """The plan for given sizes of the student.

    Args:
        cfg: the model's section, filled in.
    Raises:
        ValueError: see `plan_layout` and `find_groups`.
    """
    config = narrow_config(model, cfg, sizes)
    maps = dict.fromkeys(sizes, ("layers", "first"))
    layout = plan_layout(cfg, config, maps)
    groups = find_groups(model, layout.shared, layout.projected)
    count = sum(p.numel() for p in model.parameters())
    plan = Plan(groups, layout, config, (count, 0))
    return Plan(groups, layout, config, (count, _count(model, plan)))


def _count(model: nn.Module, plan: Plan) -> int:
    """The parameters of the student, with tables in place of sinusoidal positions."""
    kept = plan.kept_sizes()
    count = 0
    for name, parameter in model.named_parameters():
        size = 1
        for group, n in zip(plan.groups.axes[name], parameter.shape, strict=True):
            size *= kept.get(group, n)
        count += size
    for side in _sinusoidal(model):
        if value_of(plan.config, f"{side}_learned_pos"):
            module = getattr(model, side).embed_positions
            positions = model.max_positions()  # type: ignore[operator]
            limit = positions[side == "decoder"] if isinstance(positions, tuple) else positions
            count += (limit + module.padding_idx + 1) * plan.layout.student[side].width
    return count


def _sinusoidal(model: Any) -> list[str]:
    """The sides whose positions are a formula of the width."""
    return [
        side
        for side in ("encoder", "decoder")
        if isinstance(
            getattr(getattr(model, side, None), "embed_positions", None),
            SinusoidalPositionalEmbedding,
        )
    ]


def narrow_config(model: nn.Module, cfg: Any, sizes: Mapping[str, Sizes]) -> Any:
    """The model section of a student of these sizes.

    Sinusoidal positions of another width become a table: the formula of the smaller width gives
    other values than the kept dimensions have.
    """
    config = copy.deepcopy(cfg)
    with writable(config):
        for side, wanted in sizes.items():
            narrower = wanted.width < int(value_of(cfg, f"{side}_embed_dim"))
            for name, key in _SIZE_NAMES.items():
                setattr(config, f"{side}_{key}", getattr(wanted, name))
            if narrower and side in _sinusoidal(model):
                setattr(config, f"{side}_learned_pos", True)
        if "decoder" in sizes:
            _narrow_ends(config, cfg, sizes["decoder"].width)
    return config


def _narrow_ends(config: Any, cfg: Any, width: int) -> None:
    """The decoder's widths in front of and behind its layers follow, where they are not its own.

    Raises:
        ValueError: the layers would get a width at which fairseq leaves the projections out.
    """
    full = int(value_of(cfg, "decoder_embed_dim"))
    for key in ("decoder_input_dim", "decoder_output_dim"):
        own = int(value_of(cfg, key) or full)
        if own != full and own == width:
            raise ValueError(
                f"--{key.replace('_', '-')} {own}: expected another width than the pruned "
                f"decoder's {width}: fairseq would leave out the projection between the two"
            )
        if own == full:
            setattr(config, key, width)
