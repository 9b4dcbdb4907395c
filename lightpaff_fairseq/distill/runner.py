"""Run the steps of a plan; finished ones are reused, and nothing outlives this process."""

import fcntl
import json
import os
import queue
import shlex
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..child_process import run_child, signals_as_exits
from ..output_file import write_json
from ..progress import duration
from ..training.training_progress import TrainingProgress
from .plan import Plan
from .plan_file import LOCK
from .probe import environment
from .steps import Lanes, Step

LAST_LINES = 6  # of the log of a failed step
DONE, LOGS = "steps", "logs"


class StoppedError(Exception):
    """This lane was ended, since another one failed."""


class Runner:
    """Runs the steps of a plan in OUT.

    Args:
        out: absolute.
        count: number of all steps.
        lock: file descriptor of `only_process`, which the steps inherit.
    """

    def __init__(self, out: Path, count: int, lock: int) -> None:
        self.out, self.count, self.descriptor = out, count, lock
        self.started = 0
        self._children: list[subprocess.Popen[str]] = []
        self._stopping = False
        self._lock = threading.Lock()

    def run(self, plan: Plan) -> None:
        """Run all steps.

        Raises:
            ValueError: a step fails.
        """
        for folder in (DONE, LOGS):
            (self.out / folder).mkdir(exist_ok=True)
        with signals_as_exits():
            for lanes in plan.stages:
                self._run_lanes(lanes)

    def _run_lanes(self, lanes: Lanes) -> None:
        if len(lanes) == 1:
            self._run_lane(lanes[0])
            return
        ended: queue.Queue[BaseException | None] = queue.Queue()

        def work(lane: Sequence[Step]) -> None:
            error: BaseException | None = None
            try:
                self._run_lane(lane)
            except BaseException as reason:  # raised again below
                error = reason
                self._stop()
            ended.put(error)

        for lane in lanes:
            threading.Thread(target=work, args=(lane,), daemon=True).start()
        errors = [error for error in self._wait(ended, len(lanes)) if error]
        failed = [error for error in errors if not isinstance(error, StoppedError)]
        if failed:
            raise failed[0]

    def _wait(
        self, ended: "queue.Queue[BaseException | None]", count: int
    ) -> list[BaseException | None]:
        """Return the results of all lanes; after a signal, end them first.

        `Thread.join` returns too early after an exception of a signal handler (Python 3.11).
        """
        results: list[BaseException | None] = []
        try:
            while len(results) < count:
                results.append(ended.get())
        except BaseException:
            self._stop()
            while len(results) < count:
                results.append(ended.get())
            raise
        return results

    def _stop(self) -> None:
        with self._lock:
            self._stopping = True
            for child in self._children:
                child.terminate()

    def _run_lane(self, lane: Sequence[Step]) -> None:
        for step in lane:
            with self._lock:
                self.started += 1
                number = self.started
            self._run_step(step, f"[{number}/{self.count}] {step.name}")

    def _run_step(self, step: Step, name: str) -> None:
        marker = self.out / DONE / f"{step.name}.json"
        if (marker.exists() or step.is_whole) and step.has_output(self.out):
            say(f"{name}: finished before, reused")
            return
        say(f"{name}: {step.title}")
        begin = time.perf_counter()
        log = self.out / LOGS / f"{step.name}.log"
        with log.open("a", encoding="utf-8") as file:
            code, last = self._execute(step, name, file)
        if code:
            if self._stopping:
                raise StoppedError
            raise ValueError(
                f"the step {step.name} failed with exit code {code}; the end of {log}:\n"
                + "\n".join(last)
                + f"\nTo repeat it alone: {shlex.join(step.command)}"
            )
        seconds = round(time.perf_counter() - begin, 3)
        write_json(marker, {"command": list(step.command), "seconds": seconds}, "--out")
        say(f"{name}: finished after {duration(seconds)}")

    def _execute(self, step: Step, name: str, log: TextIO) -> tuple[int, list[str]]:
        """Run the command of a step; return its exit code and the last lines of its output."""
        last: deque[str] = deque(maxlen=LAST_LINES)
        progress = TrainingProgress(name) if step.is_training else None

        def take(line: str) -> None:
            log.write(f"{line}\n")
            log.flush()
            if line.strip():
                last.append(line)
            if progress:
                progress.take(line)
            elif line.endswith(" left"):  # the progress of a command of this package
                say(f"{name}: {line.partition(': ')[2]}")

        def started(child: "subprocess.Popen[str]") -> None:
            with self._lock:
                self._children.append(child)
                if self._stopping:
                    child.terminate()

        try:
            code = run_child(
                step.command,
                take,
                environment=environment(),
                on_start=started,
                pass_fds=(self.descriptor,),
            )
        finally:
            if progress:
                progress.erase()
        return code, list(last)


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


@contextmanager
def only_process(out: Path) -> Iterator[int]:
    """Hold the lock of OUT, which is created, and yield its file descriptor.

    Steps inherit the descriptor: after `kill -9` of this process, the lock is held until the step
    that still runs has ended.

    Raises:
        ValueError: another process holds it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out {out}: cannot be created: {error}") from error
    descriptor = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ValueError(
            f"--out {out}: another process works in this folder, perhaps a step of a run that was "
            f"killed; `fuser {out / LOCK}` prints its number"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def seconds_of(out: Path, step: str) -> float | None:
    """Return the time that a finished step took, or None."""
    try:
        return float(json.loads((out / DONE / f"{step}.json").read_text())["seconds"])
    except (OSError, ValueError, KeyError):
        return None
