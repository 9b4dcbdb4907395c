"""Show the progress of a long command on standard error, with the time that is left."""

import shutil
import sys
import time
from types import TracebackType
from typing import TextIO

ON_TERMINAL, IN_LOG = 0.5, 30.0  # seconds between two lines
ERASE = "\r\x1b[K"  # the current line of a terminal


class Progress:
    """One line on standard error: the finished part, the speed, and an estimate of the time left.

    A terminal shows one line, which is updated in place and erased at the end. Anywhere else, as in
    a log file, a full line appears every 30 seconds.

        with Progress("evaluate", 3000, "sentences") as progress:
            for batch in batches:
                ...
                progress.advance(len(batch))

    Args:
        name: of the command, printed first.
        total: amount of work; 0: not known yet.
        unit: of the amounts, in the plural; "": shares of the total, shown in percent.
        done: amount that was finished earlier, which took none of this run's time.
        stream: where to write (default: standard error).
    """

    def __init__(
        self, name: str, total: float, unit: str, done: float = 0, stream: TextIO | None = None
    ) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self.first = self.done = done
        self.begin = self._last = time.perf_counter()

    def __enter__(self) -> "Progress":
        if self.is_terminal:
            self._write(self.text())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.erase()

    def advance(self, amount: float, detail: str = "") -> None:
        """Add a finished amount; see `update`."""
        self.update(self.done + amount, detail)

    def update(self, done: float, detail: str = "") -> None:
        """Set the finished amount, and write a line if the last one is old enough.

        Args:
            done: the total so far; detail: printed behind it, as the name of a model.
        """
        self.done = done
        now = time.perf_counter()
        if now - self._last >= (ON_TERMINAL if self.is_terminal else IN_LOG):
            self._last = now
            self._write(self.text(detail))

    def text(self, detail: str = "") -> str:
        """Return the line."""
        if not self.unit:
            percent = 100 * self.done / max(1e-9, self.total)
            return (
                f"{self.name}: {percent:.0f} %{f' ({detail})' if detail else ''}{self.time_left()}"
            )
        rate = (self.done - self.first) / max(1e-9, time.perf_counter() - self.begin)
        of_total = f" of {self.total:,.0f}" if self.total else ""
        text = f"{self.name}: {self.done:,.0f}{of_total} {self.unit}"
        text += f" ({detail})" if detail else ""
        return f"{text}, {rate:,.1f} per second{self.time_left()}" if rate else text

    def time_left(self) -> str:
        """Return the estimate as `, about 3 min left`; "" while it is unknown."""
        work = self.done - self.first
        if not self.total or work <= 0 or self.done >= self.total:
            return ""
        seconds = (time.perf_counter() - self.begin) / work * (self.total - self.done)
        return f", about {duration(seconds)} left"

    def print(self, text: str) -> None:
        """Print a line that stays to standard output, above the line of a terminal."""
        self.erase()
        print(text, flush=True)

    def erase(self) -> None:
        """Erase the line of a terminal."""
        if self.is_terminal:
            self._put(ERASE)

    def _write(self, text: str) -> None:
        if self.is_terminal:
            self._put(ERASE + text[: shutil.get_terminal_size().columns - 1])
        else:
            self._put(f"{text}\n")

    def _put(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def duration(seconds: float) -> str:
    """Return a time as people say it: `40 s`, `12 min`, `2 h 5 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def print_line(text: str) -> None:
    """Print a line and flush, so that it also appears in a pipe at once."""
    print(text, flush=True)
