"""The axes of the sweep, and the points to train with their flags."""

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

Values = Mapping[str, tuple[str, ...]]  # name of a value -> its flags


def weights(*kinds: str) -> tuple[str, ...]:
    """Return the flags that give each of these intermediate losses weight 1."""
    return tuple(word for kind in kinds for word in (f"--kd-{kind}-weight", "1"))


# The first value of an axis belongs to the base point. Every other point differs from it only in
# the axes that are varied. `shape` depends on the data set (see settings/).
AXES: dict[str, Values] = {
    "knowledge": {  # in addition to the soft loss on the prediction
        "logits": (),
        "embedding": weights("embedding"),
        "hidden": weights("hidden"),
        "hidden_cosine": (*weights("hidden"), "--kd-hidden-loss", "cosine"),
        "attention": weights("attention"),
        "relation": weights("relation"),
        "token_relation": (*weights("relation"), "--kd-relation", "token"),
        "all": weights("embedding", "hidden", "attention", "relation"),
    },
    "layer_map": {
        "uniform": (),
        "first": ("--kd-layer-map", "first"),
        "last": ("--kd-layer-map", "last"),
    },
    "init": {  # sweep.Sweep.checkpoint says which checkpoint each of these is
        "distilled": (),
        "pretrained": (),
        "random": (),
        "teacher_uniform": (),
        "teacher_first": (),
        "teacher_last": (),
        "teacher_important": (),
        # the teacher itself, pruned to the shape; weights as in examples/homodistil
        "homodistil": ("--kd-hidden-weight", "0.1", "--kd-embedding-weight", "0.1"),
    },
    "soft": {  # lambda and temperature
        "0.5": ("--kd-lambda", "0.5"),
        "0": ("--kd-lambda", "0"),
        "0.9": ("--kd-lambda", "0.9"),
        "1": ("--kd-lambda", "1"),
        "0.5_T2": ("--kd-lambda", "0.5", "--kd-temperature", "2"),
        "0.5_T4": ("--kd-lambda", "0.5", "--kd-temperature", "4"),
        "1_T2": ("--kd-lambda", "1", "--kd-temperature", "2"),
    },
    "teacher": {"online": (), "cached": ()},  # cached: 32 tokens per position, or all classes
}
LAYERWISE = ("hidden", "hidden_cosine", "attention", "relation", "token_relation", "all")


@dataclass(frozen=True)
class Point:
    """One student: a value per axis, and a seed."""

    values: tuple[tuple[str, str], ...]
    seed: int

    @property
    def name(self) -> str:
        """A short, readable and unique name."""
        return "-".join([*(value for _, value in self.values), f"s{self.seed}"])

    def __getitem__(self, axis: str) -> str:
        return dict(self.values)[axis]

    def flags(self, axes: Mapping[str, Values]) -> list[str]:
        """Return the flags of this point's values on these axes."""
        return [w for axis, value in self.values for w in axes.get(axis, {}).get(value, ())]


def with_shapes(shapes: Sequence[str]) -> dict[str, Values]:
    """Add the axis `shape` of a data set: each shape is `NAME FLAG...`, the first is the base's.

    Raises:
        ValueError: `shapes` is empty.
    """
    if not shapes:
        raise ValueError("--shape: expected at least one, as '2x96 --encoder-layers 2'")
    return {**AXES, "shape": named(shapes)}


def named(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Split each `NAME FLAG...` into a name and its flags."""
    return {first: tuple(flags) for first, *flags in (text.split() for text in texts)}


def points(
    products: Iterable[str],
    axes: Mapping[str, Values],
    seeds: Iterable[int],
    prunable: Collection[str] = (),
) -> list[Point]:
    """Return the points of all products, without duplicates, seed by seed.

    Args:
        products: axes to combine, such as `knowledge` or `layer_map*knowledge=hidden,relation`,
            each with all or some of its values; the other axes stay at the base point.
        prunable: the shapes that the teacher can be pruned to.
    Returns:
        the points, without impossible and redundant ones: pre-trained students exist in the base
        shape only, a layer map has no effect where no layers are matched, a cache holds no layers
        and one temperature, and HomoDistil keeps the depth.
    Raises:
        ValueError: an axis or a value does not exist.
    """
    base = {axis: next(iter(values)) for axis, values in axes.items()}
    combinations: dict[tuple[tuple[str, str], ...], None] = {}
    for product in products:
        chosen = [_values(factor, axes) for factor in product.split("*")]
        for combination in itertools.product(*chosen):
            values = base | dict(combination)
            if _exists(values, base) and (
                values["init"] != "homodistil" or values["shape"] in prunable
            ):
                combinations[tuple(values.items())] = None
    return [Point(values, seed) for seed in seeds for values in combinations]


def _values(factor: str, axes: Mapping[str, Values]) -> list[tuple[str, str]]:
    axis, _, names = factor.partition("=")
    if axis not in axes:
        raise ValueError(f"--vary: expected one of the axes {', '.join(axes)}, got {axis!r}")
    chosen = names.split(",") if names else list(axes[axis])
    unknown = [name for name in chosen if name not in axes[axis]]
    if unknown:
        raise ValueError(
            f"--vary {factor}: expected values of {axis} out of {', '.join(axes[axis])}, "
            f"got {', '.join(unknown)}"
        )
    return [(axis, name) for name in chosen]


def _exists(values: Mapping[str, str], base: Mapping[str, str]) -> bool:
    if values["shape"] != base["shape"] and values["init"] in ("distilled", "pretrained"):
        return False
    if values["teacher"] == "cached" and (values["knowledge"] != "logits" or "T" in values["soft"]):
        return False
    if values["teacher"] == "cached" and values["init"] == "homodistil":
        return False
    return values["layer_map"] == base["layer_map"] or values["knowledge"] in LAYERWISE


def key(flags: Sequence[str]) -> str:
    """Return a short fingerprint of a list of flags."""
    return hashlib.sha256(json.dumps(list(flags)).encode()).hexdigest()[:12]
