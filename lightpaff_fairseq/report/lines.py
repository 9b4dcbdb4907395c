"""One line of fairseq's log: who says it, and the numbers in it."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

INTERVAL, EPOCH = "train_inner", "train"  # the names under which fairseq logs a training's numbers

_PLAIN = re.compile(r"^(?:[^|]*\| )?[A-Z]+ \| (?P<name>[^|]+?) \| (?P<text>.*)$")
_HYDRA = re.compile(r"^\[[^\]]*\]\[(?P<name>[^\]]+)\]\[[A-Z]+\] - (?P<text>.*)$")
_SIMPLE_INTERVAL = re.compile(r"^epoch \d+: +\d+ / \d+ (?P<pairs>\S+=.*)$")
_SIMPLE_EPOCH = re.compile(r"^epoch \d+ \|(?: valid on '[^']*' subset \|)? (?P<pairs>.*)$")
_NOT_A_METRIC = {"epoch", "update", "num_updates"}


@dataclass(frozen=True)
class Said:
    """A line of a log: the logger's name and its message."""

    name: str
    text: str


@dataclass(frozen=True)
class Measured:
    """The numbers of one moment.

    Attributes:
        source: `train_inner` (mean over the last updates), `train` (over an epoch), or the name of
            a validation set.
        update: the number of updates done.
        values: metric, as the criterion calls it -> value; may be NaN or infinite.
    """

    source: str
    update: int
    values: Mapping[str, float]


def said(line: str) -> Said | None:
    """A line as fairseq-train (plain) or hydra writes it; None for any other text."""
    found = _PLAIN.match(line) or _HYDRA.match(line)
    return Said(found["name"].strip(), found["text"].rstrip()) if found else None


def measured(line: Said) -> Measured | None:
    """The numbers in a line of `--log-format json` or `simple`; None where there are none.

    Raises:
        ValueError: the line begins like numbers, but cannot be read: it is cut off or mixed up.
    """
    pairs = _pairs(line)
    if pairs is None:
        return None
    values = {}
    for key, value in pairs:
        number = _number(value)
        if number is not None:
            values[key.removeprefix(f"{line.name}_")] = number
    if "num_updates" not in values:
        return None
    update = int(values["num_updates"])
    values = {key: value for key, value in values.items() if key not in _NOT_A_METRIC}
    return Measured(line.name, update, values)


def _pairs(line: Said) -> Iterable[tuple[str, object]] | None:
    if line.text.startswith('{"'):
        found = json.loads(line.text)
        return found.items() if isinstance(found, dict) else None
    interval = _SIMPLE_INTERVAL.match(line.text)
    if interval:
        return _split(interval["pairs"].split(", "), "=")
    epoch = _SIMPLE_EPOCH.match(line.text)
    return _split(epoch["pairs"].split(" | "), " ") if epoch else None


def _split(words: list[str], between: str) -> list[tuple[str, object]]:
    found = [word.partition(between) for word in words]
    return [(key, value) for key, _, value in found]


def _number(value: object) -> float | None:
    """fairseq writes numbers as strings; None for what is none, as `"loss": null`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None
