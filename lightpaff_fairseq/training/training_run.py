"""Run fairseq-train with this plug-in, keep its log, and show its progress."""

import argparse
import os
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TextIO

from ..child_process import run_child
from ..flags import flag
from ..problems import Problems, as_value_error
from ..progress import duration
from .training_progress import TrainingProgress

PLUGIN = Path(__file__).resolve().parents[1]
LOG = "train.log"  # in --save-dir
LAST_LINES = 5  # of the log of a failed run
COMMAND = "fairseq-train"
# sys.argv[0]: the name under which the run records its own command
CODE = (
    f"import sys; sys.argv[0] = {COMMAND!r}; "
    "from fairseq_cli.train import cli_main; sys.exit(cli_main())"
)


@dataclass(frozen=True)
class TrainRequest:
    """Flags of `lightpaff train` itself."""

    name: str | None = flag(
        "first word of every line (default: the name of --save-dir)", None, metavar="NAME"
    )
    log: Path | None = flag(
        f"file for the full log, which is continued (default: {LOG} in --save-dir)",
        None,
        metavar="FILE",
    )


def train(request: TrainRequest, words: Sequence[str]) -> int:
    """Run fairseq-train.

    Args:
        words: its arguments.
    Returns:
        its exit code.
    Raises:
        ValueError: flags that contradict this command, or a log that cannot be written.
    """
    given = _given(words)
    folder = Path(given.save_dir)
    log, name = request.log or folder / LOG, request.name or folder.resolve().name
    problems = Problems([_user_dir_problem(given.user_dir), _format_problem(given.log_format)])
    problems.unless(bool(words), "DATA: expected the arguments of fairseq-train, got none")
    problems.unless(
        folder.is_dir() or not folder.exists(), f"--save-dir {folder}: expected a folder"
    )
    problems.raise_if_any()
    argv = [*words, "--user-dir", str(PLUGIN), "--log-format", "json"]
    argv += [] if given.log_interval else ["--log-interval", "20"]
    start = perf_counter()
    with as_value_error(f"--log {log}: cannot be written", OSError):
        if request.log is None:
            folder.mkdir(parents=True, exist_ok=True)  # as fairseq does
        file = log.open("a", encoding="utf-8")
    print(f"{name}: the full log is {log}", flush=True)
    with file:
        code, last = _run(argv, file, TrainingProgress(name))
    if code == 0:
        print(f"{name}: finished after {duration(perf_counter() - start)}", flush=True)
    else:
        print("\n".join(_explanation(name, code, last)), file=sys.stderr)
    return code


def _given(words: Sequence[str]) -> argparse.Namespace:
    """Return the flags of fairseq-train that this command has to know."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--save-dir", default="checkpoints")  # fairseq's default
    for name in ("--user-dir", "--log-format", "--log-interval"):
        parser.add_argument(name)
    return parser.parse_known_args(words)[0]


def _user_dir_problem(path: str | None) -> str | None:
    if path is None or Path(path).resolve() == PLUGIN:
        return None
    return f"--user-dir {path}: expected none, since lightpaff train sets it to {PLUGIN}"


def _format_problem(name: str | None) -> str | None:
    if name in (None, "json"):
        return None
    return f"--log-format {name}: expected json, or no such flag: the progress is read from it"


def _run(argv: Sequence[str], log: TextIO, progress: TrainingProgress) -> tuple[int, list[str]]:
    """Run fairseq-train; return its exit code and the last lines of its log."""
    last: deque[str] = deque(maxlen=LAST_LINES)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def take(line: str) -> None:
        log.write(f"{line}\n")
        log.flush()
        if line.strip():
            last.append(line)
        progress.take(line)

    try:
        code = run_child([sys.executable, "-c", CODE, *argv], take, environment=environment)
    finally:
        progress.erase()
    return code, list(last)


def _explanation(name: str, code: int, last: Sequence[str]) -> list[str]:
    """Return the lines that explain a failure: the error alone where there is one in one line."""
    own = [line for line in last if line.startswith(f"{COMMAND}: error: ")]
    if own:
        return [f"{name}: {own[-1].removeprefix(f'{COMMAND}: ')}"]
    return [f"{name}: error: {COMMAND} ended with code {code}; the end of its log:", *last]
