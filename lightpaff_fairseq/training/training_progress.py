"""Turn the log of a running fairseq-train into lines for people."""

import json
import re
from typing import Any

from ..progress import Progress
from ..provenance import LOGGER as PROVENANCE
from ..report.log import parse_line

METRICS = {"loss": "loss", "ppl": "ppl", "accuracy": "accuracy", "bleu": "BLEU"}
INTERVAL, EPOCH = "train_inner", "train"  # loggers of fairseq
LOADED = re.compile(r"Loaded checkpoint .* @ (\d+) updates\)")
BEGIN = "begin training epoch"


class TrainingProgress:
    """The progress of a training run: a permanent line per validation, a passing one in between.

    Args:
        name: printed first in every line.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.line: Progress | None = None  # from the first epoch on
        self.max_update = self.max_epoch = 0
        self._start = 0  # update from which a resumed run continues
        self._validated = -1  # update of the last validation

    def take(self, text: str) -> None:
        """Take a line of the log (`--log-format json`)."""
        logger, message = parse_line(text) or ("", "")
        if loaded := LOADED.match(message):
            self._start = int(loaded[1])
        elif message.startswith(BEGIN):
            self._running()
        if not message.startswith('{"'):
            return
        try:
            values: dict[str, Any] = json.loads(message)
        except json.JSONDecodeError:  # another process wrote into the line
            return
        if logger == PROVENANCE:
            settings = values.get("configuration", {})
            self.max_update = settings.get("optimization.max_update", 0)
            self.max_epoch = settings.get("optimization.max_epoch", 0)
        elif logger == INTERVAL:
            self._update(values)
        elif f"{logger}_num_updates" in values:
            self._end_of_interval(logger, values)

    def erase(self) -> None:
        """Erase the passing line."""
        if self.line:
            self.line.erase()

    def _running(self) -> Progress:
        """Return the passing line; what a resumed run did earlier took none of this run's time."""
        if self.line is None:
            self.line = Progress(self.name, 0, "updates", done=self._start)
        return self.line

    def _update(self, values: dict[str, Any]) -> None:
        line, update = self._running(), int(values["num_updates"])
        line.total = self._total(update, float(values["update"]))
        line.update(update, f"loss {values['loss']}" if "loss" in values else "")

    def _total(self, update: int, epochs: float) -> int:
        """Return the number of updates of the whole run; 0: unknown.

        Args:
            update: of now; epochs: number of epochs at this update, with a fraction.
        """
        limits = [self.max_update] if self.max_update > 0 else []
        if self.max_epoch > 0 and epochs > 0:
            limits.append(max(update, round(update / epochs * self.max_epoch)))
        return min(limits, default=0)

    def _end_of_interval(self, source: str, values: dict[str, Any]) -> None:
        """Print a line per validation set, or for an epoch without validation."""
        update = int(values[f"{source}_num_updates"])
        if source == EPOCH and update == self._validated:
            return
        self._validated = update
        line = self._running()
        line.done = update
        line.total = line.total or self._total(update, values["epoch"])
        total = f" of {line.total:,}" if line.total else ""
        parts = [f"epoch {values['epoch']}", f"update {update:,}{total}"]
        metrics = [
            f"{title} {float(values[f'{source}_{key}']):.2f}"
            for key, title in METRICS.items()
            if f"{source}_{key}" in values
        ]
        parts += [f"{source} {', '.join(metrics)}"] if metrics else []
        line.print(f"{self.name}: {', '.join(parts)}{line.time_left()}")
