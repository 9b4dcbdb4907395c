"""fairseq's own commands, as a user runs them: a process each."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LAST_LINES = 5  # of a failed run, shown in the error


def run_fairseq(
    command: str, path: Path, argv: Sequence[str], *wanted: re.Pattern[str]
) -> tuple[str, list[re.Match[str]]]:
    """Runs `fairseq-...` with one checkpoint.

    Args:
        command: as `fairseq-generate`; path: the checkpoint; argv: everything else.
        wanted: what must be in its output or its log.
    Returns:
        the output, and the first match of each of `wanted`.
    Raises:
        ValueError: the checkpoint needs `lightpaff strip`; or the command failed, or something is
            not there; with the end of its log.
    """
    module = f"fairseq_cli.{command.removeprefix('fairseq-').replace('-', '_')}"
    words = [sys.executable, "-m", module, "--path", str(path), *argv]
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(
        words, capture_output=True, encoding="utf-8", env=environment, check=False
    )
    found = [pattern.search(done.stdout + done.stderr) for pattern in wanted]
    if "Unsupported global" in done.stderr:
        raise ValueError(
            f"--path {path}: expected a checkpoint that {command} loads without this plug-in, "
            "found one as training writes it; lightpaff strip makes a stock one of it"
        )
    if done.returncode != 0 or None in found:
        last = "\n".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise ValueError(
            f"--path {path}: {command} ended with exit code {done.returncode}; its last "
            f"lines:\n{last}"
        )
    return done.stdout, [match for match in found if match]


def read_lines(path: Path) -> list[str]:
    """The lines of a raw text file of `--references`.

    Raises:
        ValueError: the file is missing, empty or not UTF-8.
    """
    if not path.is_file():
        raise ValueError(f"--references {path}: expected a text file, found none")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"--references {path}: expected UTF-8, found {error.reason}") from error
    if not text:
        raise ValueError(f"--references {path}: expected one sentence a line, found an empty file")
    return text.removesuffix("\n").split("\n")  # splitlines() would split at rare separators too
