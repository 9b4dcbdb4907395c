"""The file of `--kd-vocabulary-map`: the vocabularies of a teacher and of its student.

It is JSON, and holds all that a training needs of the teacher besides its checkpoint: for both
models the symbols of their dictionaries, in order, and their SentencePiece model. Tokens
correspond if their symbols are equal.
"""

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary

from ..checkpoints.dictionaries import first_difference
from ..json_files import read_json
from ..losses.mapped import TokenPairs
from ..output_file import write_json
from ..problems import Problems

FLAG = "--kd-vocabulary-map"
SIDES = ("teacher", "student")
EXPECTED = "expected a file of lightpaff vocabulary-map"


@dataclass(frozen=True)
class Vocabulary:
    """The text side of one model.

    Attributes:
        source, target: symbols of its dictionaries; a language model has no source, `()`.
        model: its SentencePiece model, serialized, in base64.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    model: str

    def dictionary(self, role: str) -> Dictionary:
        """Return the `source` or `target` dictionary."""
        dictionary = Dictionary()
        for symbol in getattr(self, role):
            dictionary.add_symbol(symbol)
        return dictionary

    def processor(self) -> Any:
        """Load the SentencePiece model."""
        import sentencepiece

        return sentencepiece.SentencePieceProcessor(model_proto=base64.b64decode(self.model))


@dataclass(frozen=True)
class VocabularyMap:
    """A teacher's and a student's vocabulary."""

    teacher: Vocabulary
    student: Vocabulary

    def pairs(self) -> TokenPairs:
        """Return the target tokens that both have, in the student's order, and all others."""
        places = {symbol: index for index, symbol in enumerate(self.teacher.target)}
        own = enumerate(self.student.target)
        shared = [(places[symbol], index) for index, symbol in own if symbol in places]
        teacher, student = ([pair[side] for pair in shared] for side in (0, 1))
        rest = (
            sorted({*range(len(symbols))} - {*known})
            for symbols, known in (
                (self.teacher.target, teacher),
                (self.student.target, student),
            )
        )
        ids = (torch.tensor(x, dtype=torch.int64) for x in (teacher, student, *rest))
        return TokenPairs(*ids)

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
        content = asdict(self)
        write_json(path, {"checksum": _checksum(content), **content}, flag)


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
    if not isinstance(content, dict) or set(content) != {"checksum", *SIDES}:
        raise ValueError(f"{named}: {EXPECTED}, got another one")
    if content.pop("checksum") != _checksum(content):
        raise ValueError(f"{named}: corrupt: its checksum differs; {EXPECTED}")
    sides = (content[side] for side in SIDES)
    return VocabularyMap(
        *(Vocabulary(tuple(x["source"]), tuple(x["target"]), x["model"]) for x in sides)
    )


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
