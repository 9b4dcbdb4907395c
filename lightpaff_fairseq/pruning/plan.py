"""The plan of a pruning: from a model and a target to the architecture of the student."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fairseq.modules import SinusoidalPositionalEmbedding

from ..checkpoints.building import apply_arch_defaults, value_of, writable
from .axes import Groups, find_groups, kept_size
from .sizes import FAMILIES, SIZE_NAMES, Layout, Sizes, family_of, plan_layout, sizes_in
from .target import Target, nearest, parameters_in, ratios


@dataclass(frozen=True)
class Plan:
    """The student that a model is pruned to.

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
        """True if nothing is pruned."""
        return self.layout.teacher == self.layout.student

    def kept_sizes(self) -> dict[str, int]:
        """Return the number of kept members of each group."""
        return {g: kept_size(g, size, self.layout) for g, size in self.groups.sizes.items()}


def make_plan(model: Any, model_cfg: Any, target: Target) -> Plan:
    """Choose the student's sizes.

    Args:
        model: a transformer, mass, roberta or transformer_lm; `model_cfg`: its section.
        target: what is asked for.
    Raises:
        ValueError: the architecture cannot be pruned (with the first parameter that is not
            understood), the target is out of range, or its embeddings cannot be rescaled.
    """
    cfg = copy.deepcopy(model_cfg)
    apply_arch_defaults(cfg)
    name = value_of(cfg, "_name") or value_of(cfg, "arch")
    sides = FAMILIES[family_of(cfg, f"--arch {name}")]
    full_plan = plan_for(model, cfg, {side: sizes_in(cfg, side) for side in sides})
    target.problems().raise_if_any()
    if target.params is not None:
        return _by_parameters(model, cfg, full_plan.layout, target)
    assert target.width is not None
    full, shared = full_plan.layout.teacher, full_plan.layout.shared
    ratio = target.width
    if ratio > 1:
        _check_width(full, target)
        ratio = min(1.0, ratio / next(iter(full.values())).width)
    return plan_for(model, cfg, nearest(full, shared, target, ratio))


def _check_width(full: Mapping[str, Sizes], target: Target) -> None:
    widths = {sizes.width for sizes in full.values()}
    flag = f"{target.flag('target-width')} {target.width:.0f}"
    if len(widths) > 1:
        raise ValueError(
            f"{flag}: expected a ratio up to 1, encoder and decoder have different widths "
            f"{sorted(widths)}"
        )
    if (target.width or 0) > max(widths):
        raise ValueError(f"{flag}: expected at most the model's {max(widths)}")


def _by_parameters(model: Any, cfg: Any, layout: Layout, target: Target) -> Plan:
    """Return the plan whose number of parameters is closest."""
    expected = parameters_in(target.params or "")
    assert expected is not None
    plans, refused = [], None
    for sizes in _candidates(layout, target):
        try:
            plans.append(plan_for(model, cfg, sizes))
        except ValueError as error:
            refused = error
    if refused is not None and len(plans) == 1:  # the full model's: no size is possible
        raise refused
    counts = [plan.parameters[1] for plan in plans]
    if not min(counts) <= expected <= max(counts):
        raise ValueError(
            f"{target.flag('target-params')} {target.params}: expected {min(counts):,} to "
            f"{max(counts):,} parameters, got {expected:,}"
        )
    return min(plans, key=lambda plan: abs(plan.parameters[1] - expected))


def _candidates(layout: Layout, target: Target) -> list[dict[str, Sizes]]:
    """Return all candidate sizes, without duplicates."""
    choices = {}
    for ratio in ratios(layout.teacher, target):
        try:
            sizes = nearest(layout.teacher, layout.shared, target, ratio)
        except ValueError:  # less than the smallest width
            continue
        choices[tuple(sizes.values())] = sizes
    return list(choices.values())


def plan_for(model: Any, cfg: Any, sizes: Mapping[str, Sizes]) -> Plan:
    """Return the plan for given sizes of the student.

    Args:
        cfg: the model's section, the architecture's defaults filled in.
    Raises:
        ValueError: see `plan_layout` and `find_groups`.
    """
    config = _narrow_config(model, cfg, sizes)
    layout = plan_layout(cfg, config, dict.fromkeys(sizes, ("layers", "first")))
    count = sum(p.numel() for p in model.parameters())
    plan = Plan(find_groups(model, layout), layout, config, (count, 0))
    return replace(plan, parameters=(count, _count(model, plan)))


def _count(model: Any, plan: Plan) -> int:
    """Return the student's parameters, with tables in place of sinusoidal positions."""
    count = plan.groups.count(dict(model.named_parameters()), plan.kept_sizes())
    for side in _sinusoidal(model):
        if value_of(plan.config, f"{side}_learned_pos"):
            module = getattr(model, side).embed_positions
            positions = model.max_positions()
            limit = positions[side == "decoder"] if isinstance(positions, tuple) else positions
            count += (limit + module.padding_idx + 1) * plan.layout.student[side].width
    return count


def _sinusoidal(model: Any) -> list[str]:
    """Return the modules, encoder or decoder, with sinusoidal positions."""
    names = {n for n, m in model.named_modules() if isinstance(m, SinusoidalPositionalEmbedding)}
    return [side for side in ("encoder", "decoder") if f"{side}.embed_positions" in names]


def _narrow_config(model: Any, cfg: Any, sizes: Mapping[str, Sizes]) -> Any:
    """Return the model section of a student of these sizes.

    Sinusoidal positions of another width become a table: the formula of the smaller width gives
    other values than the kept dimensions have.
    """
    config = copy.deepcopy(cfg)
    with writable(config):
        for side, student in sizes.items():
            narrower = student.width < sizes_in(cfg, side).width
            for key, name in SIZE_NAMES.items():
                setattr(config, f"{side}_{name}", getattr(student, key))
            if narrower and side in _sinusoidal(model):
                setattr(config, f"{side}_learned_pos", True)
        if "decoder" in sizes:
            _narrow_ends(config, cfg, sizes["decoder"].width)
    return config


def _narrow_ends(config: Any, cfg: Any, width: int) -> None:
    """Let the decoder's widths in front of and behind its layers follow, where they equal it.

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
