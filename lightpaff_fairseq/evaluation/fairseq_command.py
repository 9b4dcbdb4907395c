"""Run fairseq's own commands, each in its own process."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LAST_LINES = 5  # of a failed run, shown in the error


def run_fairseq(
    command: str, path: Path, argv: Sequence[str], *patterns: re.Pattern[str]
) -> tuple[str, list[re.Match[str]]]:
    """Run `fairseq-...` with one checkpoint.

    Args:
        command: as `fairseq-generate`; path: the checkpoint; argv: all other arguments.
        patterns: each must match in the output or the log.
    Returns:
        the output, and the first match of each pattern.
    Raises:
        ValueError: the checkpoint needs `lightpaff strip`, the command failed, or a pattern does
            not match; the message ends with the last lines of the log.
    """
    module = f"fairseq_cli.{command.removeprefix('fairseq-').replace('-', '_')}"
    words = [sys.executable, "-m", module, "--path", str(path), *argv]
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(
        words, capture_output=True, encoding="utf-8", env=environment, check=False
    )
    matches = [pattern.search(done.stdout + done.stderr) for pattern in patterns]
    if "Unsupported global" in done.stderr:
        raise ValueError(
            f"--path {path}: expected a checkpoint that {command} loads without this plug-in, "
            "got one of a training run; run lightpaff strip on it first"
        )
    if done.returncode != 0 or None in matches:
        last = "\n".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise ValueError(
            f"--path {path}: {command} exited with code {done.returncode}; last lines:\n{last}"
        )
    return done.stdout, [match for match in matches if match]


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
