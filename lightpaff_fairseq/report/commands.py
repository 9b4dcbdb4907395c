"""Recorded command lines of training runs."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .input_files import read_text

_TRAINING = re.compile(r"(fairseq-train|fairseq-hydra-train|train\.py)\b")
_WORD = re.compile(r"\([^)]*\)|\[[^\]]*\]|\{[^}]*\}|\S+")


@dataclass(frozen=True)
class Command:
    """The command line of a training run.

    Attributes:
        text: the command, quoted for a shell; "" where nothing was recorded.
        source: where it was recorded, for the reader.
        is_exact: it made this model and no other.
    """

    text: str
    source: str
    is_exact: bool = True

    @property
    def lines(self) -> str:
        """The command with one line per flag, which a shell takes as it stands."""
        try:
            words = [shlex.quote(word) for word in shlex.split(self.text)]
        except ValueError:  # a quotation mark that is not closed
            return self.text
        return " ".join(f"\\\n  {word}" if word.startswith("--") else word for word in words)


def find_command(provenance: dict[str, Any], flags: Path | None, name: str) -> Command:
    """Return the command of a training run.

    Args:
        provenance: what its log recorded, see `Log`.
        flags: a recipe's file of flags (`OUT/NAME/flags`), if there is one.
        name: the model's name, the first word of that file.
    """
    recorded = str(provenance.get("command", ""))
    if _TRAINING.match(recorded):
        return Command(recorded, "Recorded in the log")
    if flags is not None and flags.is_file():
        words = quote_words(read_text(flags))
        words = words[1:] if words[:1] == [name] else words
        note = "Flags as the recipe recorded them (OUT is its folder); the recipe adds --save-dir, "
        return Command(" ".join(["fairseq-train", *words]), note + "logging and --user-dir")
    if recorded:
        source = "Recorded in the log: one process made several training runs"
        return Command(recorded, source, is_exact=False)
    return Command("", "The command was not recorded", is_exact=False)


def command_of_flags(flags: list[Any]) -> Command:
    """Return the command of a point of a sweep, whose flags are in its result."""
    return Command(shlex.join(["fairseq-train", *map(str, flags)]), "Flags in results.jsonl")


def quote_words(text: str) -> list[str]:
    """Quote words that lost their quotes; a word that opens a bracket ends where that closes.

    `--adam-betas (0.9, 0.98)` becomes `--adam-betas '(0.9, 0.98)'`.
    """
    return [shlex.quote(word) for word in _WORD.findall(text)]
