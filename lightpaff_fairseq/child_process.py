"""Run a program, and take its output line by line while it runs."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO, Any

STOPPING = (signal.SIGTERM, signal.SIGHUP)  # Ctrl-C raises KeyboardInterrupt already
PATIENCE = 10  # seconds between asking a program to end and killing it


def run_child(
    words: Sequence[str],
    on_line: Callable[[str], None],
    stderr: IO[Any] | int = subprocess.STDOUT,
    environment: Mapping[str, str] | None = None,
    on_start: Callable[["subprocess.Popen[str]"], None] = lambda child: None,
    pass_fds: Sequence[int] = (),
) -> int:
    """Run a program until it ends; it never outlives this call.

    Args:
        words: the program and its arguments.
        on_line: called with every line of the output, without its end, as soon as it is printed.
        stderr, environment, pass_fds: of the program; STDOUT: standard error joins the output.
        on_start: called with the running program.
    Returns:
        the exit code; 128 + the signal where a signal ended the program.
    Raises:
        KeyboardInterrupt, SystemExit: Ctrl-C, or a signal to this process; the program has ended.
    """
    with signals_as_exits():
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            encoding="utf-8",
            errors="replace",
            pass_fds=pass_fds,
        )
        try:
            on_start(child)
            for line in child.stdout or ():
                on_line(line.removesuffix("\n"))
            code = child.wait()
        except BaseException:
            _end(child)
            raise
    return code if code >= 0 else 128 - code


@contextmanager
def signals_as_exits() -> Iterator[None]:
    """Raise SystemExit where SIGTERM or SIGHUP would end this process without cleaning up."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():  # Python takes signals there
        yield
        return
    before = {number: signal.signal(number, leave) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(child: "subprocess.Popen[str]") -> None:
    """End a program: politely, then by force."""
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
