"""Run a command on a disk that is full at some point."""

import os
import pickle
import resource
from collections.abc import Mapping
from pathlib import Path

from command_runs import Outcome, attempt


def attempt_on_full_disk(
    command: str, inputs: Mapping[str, Path], out: Path, limit: int
) -> Outcome:
    """Run a command in a child process whose files may have `limit` bytes."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # Python ignores SIGXFSZ
            outcome = attempt(command, inputs, out)
            os.write(writer, pickle.dumps((outcome.code, outcome.error[-10000:])))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        content = file.read()
    os.waitpid(child, 0)
    return Outcome(*pickle.loads(content)) if content else Outcome(None, "the process died")
