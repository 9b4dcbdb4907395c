"""The steps of a distillation: ordinary commands, one after the other."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRAIN, LIGHTPAFF = "fairseq-train", "lightpaff"
USER_DIR = '"$(lightpaff user-dir)"'  # as a person types it


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: unique; of its log file.
        title: what it does, in a few words.
        command: its words, the first a command of this package, of fairseq or the launcher.
        output: the file or folder that it makes, under OUT; several are joined by colons.
        minutes: estimate, 0 if it is short.
        is_whole: the output appears in one step, so that an existing one is complete.
    """

    name: str
    title: str
    command: tuple[str, ...]
    output: str
    minutes: float = 0.0
    is_whole: bool = True

    def has_output(self, out: Path) -> bool:
        """Return true if all of the output is in OUT."""
        return all((out / name).exists() for name in self.output.split(":"))

    @property
    def is_training(self) -> bool:
        return any(Path(word).name == TRAIN for word in self.command)

    def to_json(self) -> dict[str, Any]:
        """Return the step as JSON values."""
        return {**self.__dict__, "command": list(self.command)}

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> "Step":
        """Build the step of `to_json`."""
        return cls(**{**entry, "command": tuple(entry["command"])})


Lanes = tuple[tuple[Step, ...], ...]  # steps that wait for each other; lanes run side by side


def script(settings: Sequence[str], stages: Iterable[Lanes], out: Path, user_dir: str) -> str:
    """Return the steps as a shell script that does the same.

    Args:
        settings: comment lines at its top.
        stages: every stage begins when the lanes of the one before have ended.
        out: OUT; user_dir: the value of `--user-dir` in the commands.
    """
    lines = [
        "#!/usr/bin/env bash",
        "# The commands of lightpaff distill, to read and to take over. Nothing is skipped.",
        *(f"# {line}" for line in settings),
        "set -euo pipefail",
        f"OUT={shlex.quote(str(out))}",
        "",
    ]
    for lanes in stages:
        for step in (step for lane in lanes for step in lane):
            lines += [f"# {step.title}", shell_line(step.command, out, user_dir), ""]
    return "\n".join(lines)


def shell_line(command: Sequence[str], out: Path, user_dir: str) -> str:
    """Return a command as a person would type it, with `$OUT`; long ones over several lines."""
    words = [_word(word, str(out), user_dir) for word in command]
    rows: list[str] = [words[0]]
    for word, plain in zip(words[1:], command[1:], strict=True):
        if plain.startswith("--") and len(rows[-1]) + len(word) > 80:
            rows.append(f"  {word}")
        else:
            rows[-1] += f" {word}"
    return " \\\n".join(rows)


def _word(word: str, out: str, user_dir: str) -> str:
    if word == user_dir:
        return USER_DIR
    parts = word.split(":")
    if all(part == out or part.startswith(f"{out}/") for part in parts):
        return f'"{":".join(f"$OUT{part[len(out) :]}" for part in parts)}"'
    return shlex.quote(word)
