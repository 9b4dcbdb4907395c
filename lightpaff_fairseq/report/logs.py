"""A fairseq log: the curves in it, and what it tells about its training."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..provenance import LOGGER
from .configuration import parse_configuration
from .lines import EPOCH, INTERVAL, Measured, Said, measured, said
from .reading import read_text

Curve = dict[int, float]  # update -> value, ascending

_PARAMETERS = re.compile(r"^num\. shared model params: ([\d,]+)")
_PRUNED = re.compile(r"^pruned to the target at update (\d+)")
_DONE = re.compile(r"^done training in ")


@dataclass
class Log:
    """What is known of one training.

    Attributes:
        curves: (source, metric) -> curve; the sources are those of `Measured`.
        configuration: fairseq's configuration of the last start; empty if the log does not hold it.
        provenance: what the plug-in recorded: `command`, `versions`; empty in older logs.
        parameters: of the model that is trained.
        starts: how often the training was started (1 + the times it was resumed).
        is_finished: whether fairseq said so after the last start.
        pruned_at: the update at which pruning reached its target.
        problems: what of the file could not be used, for the reader.
    """

    name: str
    path: Path
    curves: dict[tuple[str, str], Curve] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    starts: int = 0
    is_finished: bool = False
    pruned_at: int | None = None
    problems: list[str] = field(default_factory=list)

    def metrics(self, source: str) -> list[str]:
        """The metrics of a source, in the log's order."""
        return [metric for found, metric in self.curves if found == source]

    def training_curve(self, metric: str) -> Curve:
        """Of the training: by interval, or by epoch if no interval was logged."""
        for source in (INTERVAL, EPOCH):
            if (source, metric) in self.curves:
                return self.curves[source, metric]
        return {}

    @property
    def validation_sets(self) -> list[str]:
        """The names of the sets on which the training was validated."""
        return list(dict.fromkeys(s for s, _ in self.curves if s not in (INTERVAL, EPOCH)))

    @property
    def last_update(self) -> int:
        """The number of the last update that was logged."""
        return max((max(curve) for curve in self.curves.values()), default=0)

    def begins_again(self) -> None:
        """The training was started (again)."""
        self.starts += 1
        self.is_finished = False

    def forget_from(self, update: int) -> None:
        """Drops what an earlier start has logged of updates that were done again later."""
        for key, curve in self.curves.items():
            self.curves[key] = {u: value for u, value in curve.items() if u < update}

    def add(self, found: Measured) -> None:
        """Takes the numbers of one moment."""
        for metric, value in found.values.items():
            self.curves.setdefault((found.source, metric), {})[found.update] = value


def read_log(path: Path, name: str) -> Log:
    """Reads a log, running or finished, resumed or not.

    A resumed training repeats updates: the later start counts, and what an earlier one had logged
    beyond the update at which the later one began is dropped. Lines that are cut off are left out
    and listed in `problems`.

    Raises:
        ValueError: the file is not text, or cannot be read.
    """
    log = Log(name, path)
    _fill(log, read_text(path).splitlines())
    _note_what_is_not_finite(log)
    log.curves = {key: dict(sorted(c.items())) for key, c in log.curves.items() if c}
    return log


def _fill(log: Log, lines: list[str]) -> None:
    fresh = False  # a start that has not logged any number yet
    for number, text in enumerate(lines, 1):
        line = said(text)
        if line is None:
            continue
        if _is_start(line):
            log.begins_again()
            log.configuration = parse_configuration(line.text)
            fresh = True
        try:
            found = measured(line) if line.name != LOGGER else None
        except ValueError:
            cut = "is cut off" if number == len(lines) else "cannot be read"
            log.problems.append(f"line {number} {cut} and is left out")
            continue
        if found is None:
            _note(log, line)
            continue
        if fresh:
            log.forget_from(found.update)
            fresh = False
        log.add(found)


def _is_start(line: Said) -> bool:
    return line.name.endswith("train") and line.text.startswith("{'")


def _note(log: Log, line: Said) -> None:
    """Single facts among the lines."""
    if line.name == LOGGER:
        log.provenance = _json_object(line.text)
    elif _DONE.match(line.text):
        log.is_finished = True
    elif found := _PARAMETERS.match(line.text):
        log.parameters = int(found[1].replace(",", ""))
    elif found := _PRUNED.match(line.text):
        log.pruned_at = int(found[1])


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _note_what_is_not_finite(log: Log) -> None:
    for (source, metric), curve in log.curves.items():
        wrong = [u for u, value in curve.items() if not _is_finite(value)]
        if wrong:
            log.problems.append(
                f"{source} {metric} is not a finite number at {len(wrong)} of {len(curve)} points, "
                f"first at update {wrong[0]}"
            )


def _is_finite(value: float) -> bool:
    return value - value == 0


def shown_metrics(metrics: Iterable[str]) -> list[str]:
    """The metrics worth a plot: neither speed nor sizes nor the optimizer's own."""
    return [m for m in metrics if m not in _MACHINERY and not m.startswith("best_")]


_MACHINERY = set(
    "wps ups wpb bsz lr gnorm clip train_wall wall gb_free loss_scale total cuda_gb_allocated "
    "cuda_gb_reserved cuda_gb_free".split()
)
