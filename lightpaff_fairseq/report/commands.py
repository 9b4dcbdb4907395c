"""The command lines of trainings, as far as they were recorded."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .reading import read_text

_OPEN = ("(", "[", "{")


@dataclass(frozen=True)
class Command:
    """How a model was made.

    Attributes:
        text: the command or its flags, quoted for a shell; None where nothing was recorded.
        source: where it was recorded, for the reader.
    """

    text: str | None
    source: str


def command_of(provenance: dict[str, Any], flags: Path | None, name: str) -> Command:
    """The command of a training.

    Args:
        provenance: what its log recorded, see `Log`.
        flags: a recipe's file of flags (`OUT/NAME/flags`), if there is one.
        name: the model's name, the first word of that file.
    """
    recorded = provenance.get("command")
    if isinstance(recorded, str) and _is_of_one_training(recorded):
        return Command(recorded, "Recorded in the log")
    if flags is not None and flags.is_file():
        words = quoted(read_text(flags).split())
        if words and words[0] == name:
            words = words[1:]
        note = "Flags as the recipe recorded them (OUT is its folder); the recipe adds --save-dir, "
        return Command(" ".join(["fairseq-train", *words]), note + "logging and --user-dir")
    if isinstance(recorded, str):
        return Command(recorded, "Recorded in the log: one process made several trainings")
    return Command(None, "The command was not recorded")


def _is_of_one_training(command: str) -> bool:
    return re.match(r"(fairseq-train|fairseq-hydra-train|train\.py)\b", command) is not None


def command_of_flags(flags: list[str]) -> Command:
    """Of a point of a sweep, whose flags are in its result."""
    return Command(shlex.join(["fairseq-train", *flags]), "Flags in results.jsonl")


def quoted(words: list[str]) -> list[str]:
    """Words that lost their quotes, quoted again: what opens a bracket ends where that closes.

    `--adam-betas (0.9, 0.98)` becomes `--adam-betas '(0.9, 0.98)'`.
    """
    found: list[str] = []
    parts: list[str] = []
    for word in words:
        parts.append(word)
        if parts[0].startswith(_OPEN) and not _is_closed(" ".join(parts)):
            continue
        found.append(shlex.quote(" ".join(parts)))
        parts = []
    return found + [shlex.quote(word) for word in parts]


def _is_closed(text: str) -> bool:
    return all(text.count(a) <= text.count(b) for a, b in ("()", "[]", "{}"))
