"""What is asked for - a width, a ratio, a number of parameters - and the sizes that come close."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .sizes import Sizes

WAYS = ("auto", "dimensions", "heads")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}


@dataclass(frozen=True)
class Target:
    """What to prune to; `width` or `params`, as the flags of the same names.

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

    def problems(self) -> list[str]:
        """Everything that is wrong with it before any model is known, one sentence each."""
        found = []
        both = (self.flag("target-width"), self.flag("target-params"))
        if (self.width is None) == (self.params is None):
            which = "neither" if self.width is None else "both"
            found.append(f"{both[0]} or {both[1]}: expected one of the two, found {which}")
        if self.width is not None and not (
            0 < self.width <= 1 or (self.width > 1 and float(self.width).is_integer())
        ):
            found.append(
                f"{both[0]} {self.width}: expected a ratio above 0, up to 1, or a whole number of "
                "dimensions"
            )
        if self.params is not None and parameters_in(self.params) is None:
            found.append(f"{both[1]} {self.params!r}: expected a number of parameters, as 17.3M")
        if self.multiple < 1:
            found.append(f"{self.flag('multiple')} {self.multiple}: expected 1 or more")
        if self.attention not in WAYS:
            found.append(
                f"{self.flag('attention')} {self.attention!r}: expected one of {', '.join(WAYS)}"
            )
        return found


def parameters_in(text: str) -> int | None:
    """The number that `17.3M` means; None if it means none."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)([KMB]?)", text.strip().upper())
    return round(float(found[1]) * _UNITS[found[2]]) if found and float(found[1]) > 0 else None


def possible_sizes(full: Sizes, target: Target) -> list[Sizes]:
    """All sizes that a side may be pruned to, ascending, itself included.

    The width is a multiple of `target.multiple` that either the number of heads divides (every
    head loses dimensions) or a head's dimensions divide (whole heads go); where both do, every
    head loses dimensions.
    """
    found = []
    for width in range(target.multiple, full.width, target.multiple):
        heads = None
        if width % full.head_dim == 0 and target.attention != "dimensions":
            heads = width // full.head_dim
        if width % full.heads == 0 and target.attention != "heads":
            heads = full.heads
        if heads is not None:
            found.append(Sizes(full.layers, width, heads, _ffn(full, width, target.multiple)))
    return [*found, full]


def _ffn(full: Sizes, width: int, multiple: int) -> int:
    wanted = full.ffn * width / full.width
    return min(full.ffn, max(multiple, round(wanted / multiple) * multiple))


def nearest(
    full: Mapping[str, Sizes], shared: bool, target: Target, ratio: float
) -> Mapping[str, Sizes]:
    """The possible sizes of each side closest to a ratio of its width.

    Raises:
        ValueError: the ratio is too small for any.
    """
    options = {side: possible_sizes(sizes, target) for side, sizes in full.items()}
    if shared:  # one hidden dimension
        both = set.intersection(*({s.width for s in found} for found in options.values()))
        options = {k: [s for s in found if s.width in both] for k, found in options.items()}
    chosen = {}
    for side, found in options.items():
        wanted = ratio * full[side].width
        if wanted <= found[0].width / 2:
            raise ValueError(
                f"{target.flag('target-width')}: {wanted:.4g} of {full[side].width} dimensions is "
                f"too little for the {side}'s {full[side].heads} heads of {full[side].head_dim}: "
                f"expected {found[0].width} or more (multiples of {target.multiple} that the "
                "heads or a head's dimensions divide)"
            )
        chosen[side] = min(found, key=lambda sizes, w=wanted: abs(sizes.width - w))  # type: ignore[misc]
    return chosen


def ratios(full: Mapping[str, Sizes], target: Target) -> list[float]:
    """All ratios at which some side has a possible size, ascending."""
    return sorted({s.width / f.width for f in full.values() for s in possible_sizes(f, target)})
