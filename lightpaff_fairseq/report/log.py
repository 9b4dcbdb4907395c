"""Read a log of fairseq-train: the curves in it, and what it tells about the training."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..json_files import parse_json, value_as
from ..provenance import LOGGER as PROVENANCE
from .curve_points import Curve
from .input_files import read_lines

MOST_UPDATES = 2**53  # larger integers are no longer exact as floats
TRAINING = "training"  # source of the curves that are not of a validation set

_PLAIN = re.compile(r"^(?:[^|]*\| )?[A-Z]+ \| (?P<logger>[^|]+?) *\| (?P<text>.*)$")
_HYDRA = re.compile(r"^\[[^\]]*\]\[(?P<logger>[^\]]+)\]\[[A-Z]+\] - (?P<text>.*)$")
_SIMPLE_INTERVAL = re.compile(r"^epoch \d+: +\d+ / \d+ (?P<pairs>\S+=.*)$")
_SIMPLE_EPOCH = re.compile(r"^epoch \d+ \|(?: valid on '[^']*' subset \|)? (?P<pairs>.*)$")
_PARAMETERS = re.compile(r"^num\. shared model params: ([\d,]+)")
_PRUNED = re.compile(r"^pruned to the target at update (\d+)")
_KINDS = {  # of what the plug-in records
    "command": str,
    "machine": str,
    "versions": dict[str, str],
    "configuration": dict[str, Any],
}
_NOT_A_METRIC = set(  # numbers of updates, speed, sizes, and the optimizer's own values
    "epoch update num_updates wps ups wpb bsz lr gnorm clip train_wall gb_free loss_scale total "
    "cuda_gb_allocated cuda_gb_reserved cuda_gb_free".split()
)
MOST_LISTED = 20  # of the lines that are skipped


def parse_line(text: str) -> tuple[str, str] | None:
    """Parse a line as fairseq-train (plain) or hydra writes it: logger and message, or None."""
    match = _PLAIN.match(text) or _HYDRA.match(text)
    return (match["logger"], match["text"].rstrip()) if match else None


def parse_metrics(logger: str, message: str) -> tuple[int, dict[str, float]] | None:
    """Parse the metrics of `--log-format json` or `simple`.

    Returns:
        the number of updates done, and metric, as the criterion calls it -> value, which may be NaN
        or infinite; None for any other message.
    Raises:
        ValueError: the message begins like metrics, but is cut off or mixed up.
    """
    values: dict[str, float] = {}
    update: float | None = None
    for key, value in _pairs(message):
        name = key.removeprefix(f"{logger}_")
        if name in _NOT_A_METRIC and name != "num_updates":
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):  # null, or a word
            continue
        if name == "num_updates":
            update = number
        else:
            values[name] = number
    if update is None:
        return None
    if not 0 <= update <= MOST_UPDATES:
        raise ValueError(f"num_updates: got {update}")
    return int(update), values


def _pairs(message: str) -> list[tuple[str, Any]]:
    if message.startswith('{"'):
        return list(parse_json(message).items())
    if interval := _SIMPLE_INTERVAL.match(message):
        pairs = [pair.partition("=") for pair in interval["pairs"].split(", ")]
    elif epoch := _SIMPLE_EPOCH.match(message):
        pairs = [pair.partition(" ") for pair in epoch["pairs"].split(" | ")]
    else:
        return []
    return [(key, value) for key, _, value in pairs]


@dataclass
class Log:
    """A training, as far as its log tells.

    Attributes:
        curves: source -> metric -> curve; the sources are the validation sets and, last, `training`
            (means over intervals, or over epochs where no interval was logged).
        provenance: what the plug-in recorded, see `provenance.provenance`; empty without it, and
            without `configuration` in logs of version 0.1.
        parameters: of the model in training.
        starts: how often the training was started (1 + the times it was resumed).
        is_finished: fairseq reported the end after the last start.
        pruned_at: the update at which pruning reached its target.
        problems: what of the file could not be used, for the reader.
    """

    curves: dict[str, dict[str, Curve]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    starts: int = 0
    is_finished: bool = False
    pruned_at: int | None = None
    problems: list[str] = field(default_factory=list)
    _has_just_started: bool = False

    @property
    def configuration(self) -> dict[str, Any]:
        """Settings of the last start, `section.name` -> value; empty if the log lacks them."""
        settings: dict[str, Any] = self.provenance.get("configuration", {})
        return settings

    @property
    def task(self) -> str:
        """Name of the task, without `prunable_`; "" if the log lacks it."""
        return str(self.configuration.get("task._name", "")).removeprefix("prunable_")

    @property
    def last_update(self) -> int:
        """Number of the last update that was logged."""
        curves = [curve for metrics in self.curves.values() for curve in metrics.values()]
        return max((max(curve) for curve in curves), default=0)

    @property
    def minutes(self) -> float | None:
        """Minutes of training and validation, those of earlier starts included; None: unknown."""
        wall = self.curves.get(TRAINING, {}).get("wall")
        return max(wall.values()) / 60 if wall else None

    def mark_restart(self) -> None:
        """Note that the training was started (again)."""
        self.starts += 1
        self.is_finished = False
        self._has_just_started = True

    def add_metrics(self, source: str, update: int, values: dict[str, float]) -> None:
        """Add one moment; the first after a restart drops what was logged of later updates."""
        if self._has_just_started:
            for metrics in self.curves.values():
                for curve in metrics.values():
                    curve.drop_from(update)
        self._has_just_started = False
        curves = self.curves.setdefault(source, {})
        for metric, value in values.items():
            if metric not in curves:
                curves[metric] = Curve()
            curves[metric].add(update, value)

    def add_line(self, logger: str, message: str) -> None:
        """Take what a line tells.

        Raises:
            ValueError: it is cut off or mixed up.
        """
        if logger == PROVENANCE:
            content = value_as(dict[str, Any], parse_json(message), "provenance")
            kinds = {key: _KINDS.get(key, Any) for key in content}
            self.provenance = {key: value_as(kinds[key], content[key], key) for key in content}
        elif logger.endswith("train") and message.startswith("{'"):  # the whole configuration
            self.mark_restart()
        elif metrics := parse_metrics(logger, message):
            self.add_metrics(logger, *metrics)
        elif message.startswith("done training in "):
            self.is_finished = True
        elif match := _PARAMETERS.match(message):
            self.parameters = int(match[1].replace(",", ""))
        elif match := _PRUNED.match(message):
            self.pruned_at = int(match[1])

    def arrange_curves(self) -> None:
        """Sort the curves by update, make one source of the training's, and note their gaps."""
        intervals, epochs = (self.curves.pop(source, {}) for source in ("train_inner", "train"))
        self.curves[TRAINING] = epochs | {name: curve for name, curve in intervals.items() if curve}
        for source, metrics in self.curves.items():
            self.curves[source] = {name: curve for name, curve in metrics.items() if curve}
            for name, curve in self.curves[source].items():
                curve.arrange()
                if curve.gaps:
                    self.problems.append(
                        f"{source} {name} is not a finite number at {len(curve.gaps)} of "
                        f"{curve.count} points, first at update {min(curve.gaps)}"
                    )

    @property
    def every(self) -> int:
        """1, or n if long curves keep only one of n points."""
        return max(
            (c.every for metrics in self.curves.values() for c in metrics.values()), default=1
        )


def read_log(path: Path) -> Log:
    """Read a log, running or finished, resumed or not.

    A resumed training repeats updates: the later start counts, and what an earlier one had logged
    beyond the update at which the later one began is dropped. Lines that are cut off are skipped
    and listed in `problems`.

    Raises:
        ValueError: the file is not text, or cannot be read.
    """
    log, number = Log(), 0
    skipped: list[int] = []
    for number, text in enumerate(read_lines(path), 1):
        if line := parse_line(text):
            try:
                log.add_line(*line)
            except ValueError:
                skipped.append(number)
    states = {number: "is cut off"}
    for i in skipped[:MOST_LISTED]:
        log.problems.append(f"line {i} {states.get(i, 'cannot be read')} and is skipped")
    if len(skipped) > MOST_LISTED:
        log.problems.append(f"{len(skipped) - MOST_LISTED:,} more lines are skipped")
    log.arrange_curves()
    return log
