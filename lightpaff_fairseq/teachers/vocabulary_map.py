"""The file of `--kd-vocabulary-map`: the vocabularies of a teacher and of its student.

It is JSON, and holds all that a training needs of the teacher besides its checkpoint: for both
models the symbols of their dictionaries, in order, and their SentencePiece model; and which tokens
of the student stand for each of the teacher's (see `counterparts`).
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..checkpoints.dictionaries import first_difference
from ..json_files import read_json, value_as
from ..losses.mapped import TokenMap
from ..output_file import write_text
from ..problems import Problems, as_value_error
from .counterparts import Entry
from .text_alignment import TextAlignment
from .vocabulary_sides import Vocabulary

FLAG = "--kd-vocabulary-map"
PARTS = ("teacher", "student", "counterparts")
EXPECTED = "expected a file of lightpaff vocabulary-map"


@dataclass(frozen=True)
class VocabularyMap:
    """A teacher's and a student's vocabulary, and the entries of the map between them."""

    teacher: Vocabulary
    student: Vocabulary
    counterparts: tuple[Entry, ...]

    @cached_property
    def checksum(self) -> str:
        """The checksum of all content."""
        return _checksum(self._content())

    def _content(self) -> dict[str, Any]:
        sides = {"teacher": asdict(self.teacher), "student": asdict(self.student)}
        return {**sides, "counterparts": [list(x) for x in self.counterparts]}

    def alignment(self) -> TextAlignment:
        """Load both SentencePiece models."""
        return TextAlignment(self.teacher, self.student)

    def token_map(self) -> TokenMap:
        """Return the map of target tokens."""
        return TokenMap.of(
            [(x, y, float(weight)) for x, y, weight in self.counterparts],
            (len(self.teacher.target), len(self.student.target)),
        )

    def check_student(self, task: Any, named: str) -> None:
        """Check that a task has the dictionaries of the student.

        Raises:
            ValueError: names the first difference.
        """
        problems = Problems()
        for role in ("source", "target"):
            if not getattr(self.student, role):
                expected, got = "of a language model", "a task with a source language"
                is_lm = role == "source" and task.source_dictionary is task.target_dictionary
                problems.unless(is_lm, f"{named}: {expected}, but the training has {got}")
                continue
            difference = first_difference(
                self.student.dictionary(role),
                getattr(task, f"{role}_dictionary"),
                ("map's", "training data's"),
            )
            problems.unless(
                difference is None,
                f"{named}: made for another student: {role} dictionaries differ: {difference}",
            )
        problems.raise_if_any()

    def write(self, path: Path, flag: str) -> None:
        """Write the file in one step.

        Raises:
            ValueError: it cannot be written.
        """
        content = {"checksum": self.checksum, **self._content()}
        write_text(path, json.dumps(content, ensure_ascii=False) + "\n", flag)


def read_vocabulary_map(path: Path, flag: str = FLAG) -> VocabularyMap:
    """Read the file.

    Raises:
        ValueError: it is no such file, or damaged.
    """
    named = f"{flag} {path}"
    if not path.is_file():
        raise ValueError(f"{named}: no such file; {EXPECTED}")
    try:
        content = read_json(path)
    except ValueError as error:
        raise ValueError(f"{flag} {error}; {EXPECTED}") from error
    if not isinstance(content, dict) or set(content) != {"checksum", *PARTS}:
        raise ValueError(f"{named}: {EXPECTED}, got another one")
    if content.pop("checksum") != _checksum(content):
        raise ValueError(f"{named}: corrupt: its checksum differs; {EXPECTED}")
    with as_value_error(f"{named}: corrupt"):
        teacher, student = (_vocabulary(content[side], side) for side in PARTS[:2])
        entries = value_as(list[list[int]], content[PARTS[2]], PARTS[2])
        sizes = len(teacher.target), len(student.target)
        if not all(_is_entry(entry, sizes) for entry in entries):
            raise ValueError("counterparts: expected two tokens and a positive number in each")
        return VocabularyMap(teacher, student, tuple((x, y, count) for x, y, count in entries))


def _vocabulary(content: Any, name: str) -> Vocabulary:
    source, target = (
        tuple(value_as(list[str], content[role], f"{name}.{role}")) for role in ("source", "target")
    )
    vocabulary = Vocabulary(source, target, value_as(str, content["model"], f"{name}.model"))
    vocabulary.processor()
    return vocabulary


def _is_entry(entry: list[int], sizes: tuple[int, int]) -> bool:
    """Return whether it is (teacher's token, student's token, weight)."""
    if len(entry) != 3:
        return False
    return 0 <= entry[0] < sizes[0] and 0 <= entry[1] < sizes[1] and entry[2] > 0


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
