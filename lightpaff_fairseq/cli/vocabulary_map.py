"""`lightpaff vocabulary-map`: prepare a teacher with another vocabulary for training."""

import argparse
import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fairseq.data import Dictionary

from ..flags import add_flags, flag, parse_flags
from ..huggingface.tokenizers import pieces_problem
from ..output_file import file_problem
from ..problems import Problems, as_value_error
from ..subwords import read_lines
from ..teachers.counterparts import find_counterparts
from ..teachers.text_alignment import TextAlignment
from ..teachers.vocabulary_map import VocabularyMap
from ..teachers.vocabulary_sides import Vocabulary


@dataclass(frozen=True)
class VocabularyMapRequest:
    """Flags of `lightpaff vocabulary-map`."""

    teacher_data: Path = flag("folder of the teacher's dictionaries", metavar="DIR")
    teacher_model: Path = flag("SentencePiece model of the teacher's text", metavar="FILE")
    data: Path = flag("folder of the student's dictionaries: the training data", metavar="DIR")
    model: Path = flag("SentencePiece model of the student's text", metavar="FILE")
    out: Path = flag("file to write", metavar="FILE")
    text: tuple[Path, ...] = flag(
        "text of the target language, one sentence per line, as the training data: shares the "
        "probability of each token of the teacher among the student's tokens that continue the "
        "same text (default: all goes to the nearest token)",
        (),
        nargs="+",
        metavar="FILE",
    )
    source_lang: str | None = flag("source language (default: of a language model, none)", None)
    target_lang: str | None = flag("target language (default: of a language model, none)", None)
    force: bool = flag("overwrite --out (default: refuse)", False)

    @property
    def sides(self) -> tuple[tuple[Path, Path, str], tuple[Path, Path, str]]:
        """Data, model and the model's flag, of the teacher and of the student."""
        teacher = self.teacher_data, self.teacher_model, "--teacher-model"
        return teacher, (self.data, self.model, "--model")

    def dictionary_files(self, data: Path) -> list[Path]:
        """Return the files of the source, if there is one, and of the target."""
        if self.source_lang is None:
            return [data / "dict.txt"]
        return [data / f"dict.{lang}.txt" for lang in (self.source_lang, self.target_lang)]

    def check(self) -> None:
        """Raise ValueError, with all problems, before any work."""
        problems = Problems()
        problems.unless(
            (self.source_lang is None) == (self.target_lang is None),
            "--source-lang, --target-lang: expected both or none",
        )
        problems.extend([file_problem(self.out, "--out", self.force)])
        for (data, model, name), flag_of_data in zip(
            self.sides, ("--teacher-data", "--data"), strict=True
        ):
            problems.unless(
                model.is_file(), f"{name} {model}: no such file (expected a SentencePiece model)"
            )
            for path in self.dictionary_files(data):
                problems.unless(path.is_file(), f"{flag_of_data} {data}: no {path.name} in it")
        for path in self.text:
            problems.unless(path.is_file(), f"--text {path}: no such file")
        problems.raise_if_any()


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Write the file that --kd-vocabulary-map takes: the dictionaries and the SentencePiece "
        "models of a teacher and of a student that reads the same text in other tokens, and which "
        "tokens of the student stand for each of the teacher's: the same one, or the nearest that "
        "begins like it; with --text, those that the text has. For translation, name both "
        "languages; without them, the dictionaries are dict.txt."
    )
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    add_flags(parser, VocabularyMapRequest)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Write the file, and print how many tokens correspond.

    Raises:
        ValueError: bad flags, or files that do not fit together.
    """
    request = parse_flags(args, VocabularyMapRequest)
    request.check()
    teacher, student = _vocabularies(request)
    lines = read_lines(request.text, "--text")
    entries, seen = find_counterparts(TextAlignment(teacher, student), lines)
    if request.text and not seen:
        raise ValueError(f"--text {' '.join(map(str, request.text))}: expected text, got none")
    vocabularies = VocabularyMap(teacher, student, tuple(entries))
    vocabularies.write(request.out, "--out")
    shared, tokens = len({*teacher.target} & {*student.target}), vocabularies.token_map()
    print(
        f"{request.out}: {len(teacher.target):,} teacher tokens: {shared:,} are also the "
        f"student's, {seen:,} occur in the text, {len(tokens.teacher_rest):,} map to no student "
        f"token; {len(tokens.student_rest):,} of the {len(student.target):,} student tokens stand "
        "for no teacher token"
    )
    return 0


def _vocabularies(request: VocabularyMapRequest) -> Iterator[Vocabulary]:
    problems, read = Problems(), []
    for data, model, name in request.sides:
        symbols = []
        for path in request.dictionary_files(data):
            with as_value_error(f"{path}: expected a dictionary of fairseq", Exception):
                symbols.append(tuple(Dictionary.load(str(path)).symbols))
            problem = pieces_problem(model, symbols[-1])
            problems.unless(problem is None, f"{name} {model}: for {path}: {problem}")
        serialized = base64.b64encode(model.read_bytes()).decode()
        source = symbols[0] if len(symbols) > 1 else ()
        read.append(Vocabulary(source, symbols[-1], serialized))
    problems.raise_if_any()
    yield from read
