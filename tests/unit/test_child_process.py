"""Programs that are run and watched: their output, their end, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightpaff_fairseq.child_process import run_child

PRINT = "import sys; print('a\u2028b'); print('error', file=sys.stderr); sys.exit(3)"
SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_lines_and_exit_code():
    lines = []
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    code = run_child([sys.executable, "-c", PRINT], lines.append, environment=environment)
    assert (code, lines) == (3, ["a\u2028b", "error"])


def test_a_program_that_a_signal_ended():
    lines = []

    def kill(line):
        lines.append(line)
        os.kill(int(line), signal.SIGKILL)

    assert run_child([sys.executable, "-c", SLEEP], kill) == 128 + signal.SIGKILL


def test_an_error_while_its_lines_are_read_ends_the_program():
    pids = []

    def fail(line):
        pids.append(int(line))
        raise RuntimeError("no disk")

    with pytest.raises(RuntimeError, match="no disk"):
        run_child([sys.executable, "-c", SLEEP], fail)
    assert not is_running(pids[0])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_running(number):
    """The signal goes to the parent alone, as from `kill`, not to its group, as from a terminal."""
    words = [sys.executable, "-c", SLEEP]
    code = f"from lightpaff_fairseq.child_process import run_child; run_child({words!r}, print)"
    parent = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # even under nohup
    )
    child = int(parent.stdout.readline())
    assert is_running(child)
    parent.send_signal(number)
    assert parent.wait(20) in (128 + number, -number)
    end = time.monotonic() + 10
    while is_running(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(child)
