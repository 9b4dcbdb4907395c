"""Run fairseq's own commands, each in its own process."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from ..child_process import run_child

LAST_LINES = 5  # of a failed run, shown in the error


def run_fairseq(
    command: str,
    path: Path,
    argv: Sequence[str],
    patterns: Sequence[re.Pattern[str]],
    on_line: Callable[[str], None] = lambda line: None,
) -> tuple[str, list[re.Match[str]]]:
    """Run `fairseq-...` with one checkpoint.

    Args:
        command: as `fairseq-generate`; path: the checkpoint; argv: all other arguments.
        patterns: each must match in the output or the log.
        on_line: called with every line of the output as soon as it is printed.
    Returns:
        the output, and the first match of each pattern.
    Raises:
        ValueError: the checkpoint needs `lightpaff strip`, the command failed, or a pattern does
            not match; the message ends with the last lines of the log.
    """
    module = f"fairseq_cli.{command.removeprefix('fairseq-').replace('-', '_')}"
    words = [sys.executable, "-m", module, "--path", str(path), *argv]
    code, output, log = _run(words, on_line)
    matches = [pattern.search(output + log) for pattern in patterns]
    if "Unsupported global" in log:
        raise ValueError(
            f"--path {path}: expected a checkpoint that {command} loads without this plug-in, "
            "got one of a training run; run lightpaff strip on it first"
        )
    if code != 0 or None in matches:
        last = "\n".join(log.strip().splitlines()[-LAST_LINES:])
        raise ValueError(f"--path {path}: {command} exited with code {code}; last lines:\n{last}")
    return output, [match for match in matches if match]


def _run(words: Sequence[str], on_line: Callable[[str], None]) -> tuple[int, str, str]:
    """Run a program; return its exit code, output and log (standard error)."""
    lines: list[str] = []

    def take(line: str) -> None:
        lines.append(line)
        on_line(line)

    # unbuffered: fairseq times the model alone, not what it prints
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        code = run_child(words, take, log, environment)
        log.seek(0)
        return code, "\n".join(lines), log.read()


def read_lines(path: Path) -> list[str]:
    """Return the lines of a raw text file of `--references`.

    Raises:
        ValueError: the file is missing, empty or not UTF-8.
    """
    if not path.is_file():
        raise ValueError(f"--references {path}: expected a text file, got none")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"--references {path}: expected UTF-8, got {error.reason}") from error
    if not text:
        raise ValueError(f"--references {path}: expected one sentence per line, got an empty file")
    return text.removesuffix("\n").split("\n")  # splitlines() also splits at U+2028 and the like
