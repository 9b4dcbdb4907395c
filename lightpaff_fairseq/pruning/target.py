"""The target of pruning (a width, a ratio, a number of parameters), and the closest sizes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..flags import Range
from ..problems import Problems
from .sizes import Sizes

WIDTH = Range("a ratio above 0, up to 1, or a whole number of dimensions", 0, is_open=True)
WAYS = ("auto", "dimensions", "heads")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}


@dataclass(frozen=True)
class Target:
    """The size to prune to: `width` or `params`, as the flags of the same names.

    Attributes:
        width: up to 1 a ratio, above 1 a number of dimensions.
        params: a number of parameters, as 17.3M.
        multiple: width and FFN units are rounded to multiples of it.
        attention: what attention loses, see `WAYS`.
        prefix: what the flags' names start with.
    """

    width: float | None = None
    params: str | None = None
    multiple: int = 8
    attention: str = "auto"
    prefix: str = "--"

    def flag(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def problems(self) -> Problems:
        """Return the problems with the target that need no model to detect."""
        problems, width, params = Problems(), self.flag("target-width"), self.flag("target-params")
        if (self.width is None) == (self.params is None):
            which = "neither" if self.width is None else "both"
            problems.add(f"{width} or {params}: expected one of the two, got {which}")
        if self.width is not None:
            problems.unless(
                0 < self.width <= 1 or (self.width > 1 and float(self.width).is_integer()),
                f"{width} {self.width}: expected a ratio above 0, up to 1, or a whole number of "
                "dimensions",
            )
        if self.params is not None and parameters_in(self.params) is None:
            problems.add(f"{params} {self.params!r}: expected a number of parameters, as 17.3M")
        multiple = f"{self.flag('multiple')} {self.multiple}"
        problems.unless(self.multiple >= 1, f"{multiple}: expected 1 or more")
        attention = f"{self.flag('attention')} {self.attention!r}"
        problems.unless(self.attention in WAYS, f"{attention}: expected one of {', '.join(WAYS)}")
        return problems


def parameters_in(text: str) -> int | None:
    """Return the number that `17.3M` means; None if it means none."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)([KMB]?)", text.strip().upper())
    return round(float(match[1]) * _UNITS[match[2]]) if match and float(match[1]) > 0 else None


def possible_sizes(full: Sizes, target: Target) -> list[Sizes]:
    """Return all sizes that an encoder or decoder may be pruned to, ascending, its own included.

    The width is a multiple of `target.multiple` that either the number of heads divides (every
    head loses dimensions) or a head's dimensions divide (whole heads go); where both do, every
    head loses dimensions.
    """
    sizes = []
    for width in range(target.multiple, full.width, target.multiple):
        heads = None
        if width % full.head_dim == 0 and target.attention != "dimensions":
            heads = width // full.head_dim
        if width % full.heads == 0 and target.attention != "heads":
            heads = full.heads
        if heads is not None:
            sizes.append(Sizes(full.layers, width, heads, _ffn(full, width, target.multiple)))
    return [*sizes, full]


def _ffn(full: Sizes, width: int, multiple: int) -> int:
    exact = full.ffn * width / full.width
    return min(full.ffn, max(multiple, round(exact / multiple) * multiple))


def nearest(
    full: Mapping[str, Sizes], shared: bool, target: Target, ratio: float
) -> dict[str, Sizes]:
    """Return the possible sizes of encoder and decoder closest to a ratio of their width.

    Raises:
        ValueError: the ratio is too small for any.
    """
    options = {side: possible_sizes(sizes, target) for side, sizes in full.items()}
    if shared:  # one hidden dimension
        widths = set.intersection(*({s.width for s in sizes} for sizes in options.values()))
        options = {k: [s for s in sizes if s.width in widths] for k, sizes in options.items()}
    chosen = {}
    for side, sizes in options.items():
        width = ratio * full[side].width
        if width <= sizes[0].width / 2:
            raise ValueError(
                f"{target.flag('target-width')}: {width:.4g} of {full[side].width} dimensions is "
                f"too little for the {side}'s {full[side].heads} heads of {full[side].head_dim}: "
                f"expected {sizes[0].width} or more (multiples of {target.multiple} that the "
                "heads or a head's dimensions divide)"
            )
        differences = [abs(s.width - width) for s in sizes]
        chosen[side] = sizes[differences.index(min(differences))]
    return chosen


def ratios(full: Mapping[str, Sizes], target: Target) -> list[float]:
    """Return all ratios at which encoder or decoder has a possible size, ascending."""
    return sorted({s.width / f.width for f in full.values() for s in possible_sizes(f, target)})
