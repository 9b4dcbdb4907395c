"""The axes of the sweep and the points on them: which students are trained, and with what flags."""

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

Values = Mapping[str, tuple[str, ...]]  # name of a value -> its flags


def weights(*kinds: str) -> tuple[str, ...]:
    """Flags that turn kinds of knowledge on, each with weight 1."""
    return tuple(word for kind in kinds for word in (f"--kd-{kind}-weight", "1"))


# The first value of an axis is that of the base point, which differs from every other point in
# the axes that are varied and in nothing else. `shape` is of the data set (see settings/).
AXES: dict[str, Values] = {
    "knowledge": {  # beside the soft loss on the prediction
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
    "init": {  # see sweep.Start: which checkpoint each of these is
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
    "teacher": {"online": (), "cached": ()},  # cached: 32 symbols a position, or all classes
}
LAYERWISE = ("hidden", "hidden_cosine", "attention", "relation", "token_relation", "all")


@dataclass(frozen=True)
class Point:
    """One student: a value on every axis, and a seed."""

    values: tuple[tuple[str, str], ...]
    seed: int

    @property
    def name(self) -> str:
        """Short, readable, and different for different points."""
        return "-".join([*(value for _, value in self.values), f"s{self.seed}"])

    def __getitem__(self, axis: str) -> str:
        return dict(self.values)[axis]

    def flags(self, axes: Mapping[str, Values]) -> list[str]:
        """The flags of the values on these axes."""
        return [w for axis, value in self.values for w in axes.get(axis, {}).get(value, ())]


def with_shapes(shapes: Sequence[str]) -> dict[str, Values]:
    """The axes with the shapes of a data set, each `NAME FLAG...`; the first is the base's.

    Raises:
        ValueError: there is none.
    """
    if not shapes:
        raise ValueError("--shape: expected at least one, as '2x96 --encoder-layers 2'")
    return {**AXES, "shape": named(shapes)}


def named(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`NAME FLAG...` of each text, by its name."""
    return {first: tuple(flags) for first, *flags in (text.split() for text in texts)}


def points(
    products: Iterable[str],
    axes: Mapping[str, Values],
    seeds: Iterable[int],
    prunable: Collection[str] = (),
) -> list[Point]:
    """The points of all products, each point once, seed by seed.

    Args:
        products: as `knowledge`, `layer_map*knowledge=hidden,relation`: axes to combine, each with
            all its values or some of them; the other axes stay at the base.
        prunable: the shapes that the teacher can be pruned to.
    Returns:
        without the points that cannot be or would be another one: other shapes start from no
        pre-trained student (there is none), a layer map changes nothing where no layers are
        matched, a cache holds no layers and one temperature, and HomoDistil keeps the depth.
    Raises:
        ValueError: an axis or a value that does not exist.
    """
    base = {axis: next(iter(values)) for axis, values in axes.items()}
    found: dict[tuple[tuple[str, str], ...], None] = {}
    for product in products:
        chosen = [_values(factor, axes) for factor in product.split("*")]
        for combination in itertools.product(*chosen):
            values = base | dict(combination)
            if _exists(values, base) and (
                values["init"] != "homodistil" or values["shape"] in prunable
            ):
                found[tuple(values.items())] = None
    return [Point(values, seed) for seed in seeds for values in found]


def _values(factor: str, axes: Mapping[str, Values]) -> list[tuple[str, str]]:
    axis, _, names = factor.partition("=")
    if axis not in axes:
        raise ValueError(f"--vary: expected an axis out of {', '.join(axes)}, found {axis!r}")
    chosen = names.split(",") if names else list(axes[axis])
    unknown = [name for name in chosen if name not in axes[axis]]
    if unknown:
        raise ValueError(
            f"--vary {factor}: expected values of {axis} out of {', '.join(axes[axis])}, "
            f"found {', '.join(unknown)}"
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
    """Short fingerprint of a list of flags."""
    return hashlib.sha256(json.dumps(list(flags)).encode()).hexdigest()[:12]
