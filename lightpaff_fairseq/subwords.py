"""Train a SentencePiece model with fairseq's dictionary for it, and encode text."""

import io
import os
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .flags import at_least, flag, range_problems
from .problems import Problems, as_value_error, reason_of

MASK = "<mask>"
SPECIAL = 3  # SentencePiece's <unk> <s> </s>: fairseq has its own
STANDARD_INPUT = "standard input"
TOO_LARGE = re.compile(r"Vocabulary size too high .*<= (\d+)")
TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")


@dataclass(frozen=True)
class TrainSubwordsRequest:
    """Flags of `lightpaff subwords train`."""

    text: list[Path] = flag(
        "text files, one sentence per line, of all languages that share the vocabulary",
        name="text",
        nargs="+",
        metavar="TEXT",
    )
    vocab: int = flag("number of pieces, as 4000", metavar="N", expected=at_least(SPECIAL + 1))
    out: Path = flag(
        "start of the names of the files to write: OUT.model and OUT.dict.txt", metavar="OUT"
    )
    lossless: bool = flag(
        "no normalization, and bytes for rare characters, so that all text is decoded exactly",
        False,
    )
    sample: int = flag(
        "number of lines to train on, drawn at random with a fixed seed; 0 = all (default: 0)",
        0,
        metavar="N",
        expected=at_least(0),
    )
    force: bool = flag("overwrite the files (default: refuse)", False)

    @property
    def files(self) -> tuple[Path, Path]:
        """The model and the dictionary."""
        return Path(f"{self.out}.model"), Path(f"{self.out}.dict.txt")

    def check(self) -> None:
        """Raise ValueError, with all problems, before any work."""
        problems = Problems(range_problems(self))
        for path in self.text:
            problems.unless(path.is_file(), f"TEXT {path}: no such file")
        folder = self.out.absolute().parent
        problems.unless(
            folder.is_dir() and os.access(folder, os.W_OK),
            f"--out {self.out}: the folder {folder} does not exist or cannot be written to",
        )
        for path in self.files:
            problems.unless(
                self.force or not path.exists(),
                f"--out {self.out}: {path} exists already; --force overwrites it",
            )
        problems.raise_if_any()


@dataclass(frozen=True)
class EncodeSubwordsRequest:
    """Flags of `lightpaff subwords encode`."""

    model: Path = flag("SentencePiece model, or folder of lightpaff convert", metavar="PATH")
    target: bool = flag("encode text of the target language (only Marian's differs)", False)
    text: tuple[Path, ...] = flag(
        "text files, one sentence per line (default: standard input)",
        (),
        name="text",
        nargs="*",
        metavar="TEXT",
    )


def train_subwords(request: TrainSubwordsRequest) -> None:
    """Write OUT.model and OUT.dict.txt, both or none.

    The dictionary is what fairseq-preprocess --srcdict takes: the pieces in the model's order, then
    `<mask>`, for pre-training with masks. All counts are 1: fairseq only uses the order.

    Raises:
        ValueError: bad flags or files, text that is not UTF-8 (with file and line), or a vocabulary
            that does not fit the text.
    """
    import sentencepiece

    request.check()
    model_file, dictionary_file = request.files
    model = sentencepiece.SentencePieceProcessor(model_proto=_trained(request))
    pieces = [model.id_to_piece(i) for i in range(SPECIAL, model.get_piece_size())]
    if MASK in pieces:
        raise ValueError(f"TEXT: expected no piece {MASK}, which is reserved for masking")
    contents = {
        dictionary_file: "".join(f"{piece} 1\n" for piece in [*pieces, MASK]).encode(),
        model_file: model.serialized_model_proto(),
    }
    parts = {path: path.with_name(f"{path.name}.tmp") for path in contents}
    try:
        with as_value_error(f"--out {request.out}: cannot be written", OSError):
            for path, part in parts.items():
                part.write_bytes(contents[path])
            for path, part in parts.items():
                part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _trained(request: TrainSubwordsRequest) -> bytes:
    """Return the model.

    Raises:
        ValueError: see `train_subwords`.
    """
    import sentencepiece

    lines = list(read_lines(request.text))
    if request.sample:
        lines = sample(lines, request.sample)
    if not any(line.strip() for line in lines):
        raise ValueError(f"TEXT {_listed(request.text)}: expected text, got empty files")
    writer = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=writer,
            vocab_size=request.vocab,
            model_type="unigram",
            character_coverage=1.0,
            byte_fallback=request.lossless,
            normalization_rule_name="identity" if request.lossless else "nmt_nfkc",
            minloglevel=2,  # errors are reported below
        )
    except RuntimeError as error:
        raise ValueError(_problem(request, error)) from error
    return writer.getvalue()


def _problem(request: TrainSubwordsRequest, error: RuntimeError) -> str:
    """Return what is wrong with the flags, by SentencePiece's error."""
    for pattern, words in ((TOO_LARGE, "at most {}, the largest"), (TOO_SMALL, "at least {}")):
        if match := pattern.search(str(error)):
            limit = words.format(f"{int(match[1]):,}")
            reason = " vocabulary for this text" if "most" in words else ", one per character"
            return f"--vocab {request.vocab}: expected {limit}{reason}"
    return f"TEXT {_listed(request.text)}: SentencePiece failed: {reason_of(error)}"


def _listed(paths: Iterable[Path]) -> str:
    return ", ".join(map(str, paths))


def sample(lines: Sequence[str], count: int) -> list[str]:
    """Draw `count` random lines with a fixed seed; SentencePiece's own sampling has none."""
    drawn: list[str] = []
    generator = random.Random(1)
    for i, line in enumerate(lines):
        if i < count:
            drawn.append(line)
        elif (place := generator.randrange(i + 1)) < count:
            drawn[place] = line
    return drawn


def encode_subwords(request: EncodeSubwordsRequest, encode: Callable[[str], str]) -> Iterator[str]:
    """Yield the pieces of every line, separated by spaces.

    Args:
        encode: line -> pieces.
    Raises:
        ValueError: files that cannot be read, or text that is not UTF-8 (with file and line).
    """
    problems = Problems()
    for path in request.text:
        problems.unless(path.is_file(), f"TEXT {path}: no such file")
    problems.raise_if_any()
    lines = read_lines(request.text) if request.text else decoded(sys.stdin.buffer, STANDARD_INPUT)
    for line in lines:
        yield encode(line)


def sentencepiece_encoder(path: Path) -> Callable[[str], str]:
    """Return the function text -> pieces of a SentencePiece model.

    Raises:
        ValueError: it is not one.
    """
    import sentencepiece

    if not path.is_file():
        raise ValueError(f"--model {path}: no such file (expected a SentencePiece model)")
    with as_value_error(f"--model {path}: expected a SentencePiece model", RuntimeError):
        model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return lambda line: " ".join(model.encode(line, out_type=str))


def read_lines(paths: Iterable[Path], flag: str = "TEXT") -> Iterator[str]:
    """Yield the lines of text files, without their ends.

    Args:
        flag: that names them, for the error.
    Raises:
        ValueError: a line is not UTF-8.
    """
    for path in paths:
        with path.open("rb") as file:
            yield from decoded(file, f"{flag} {path}")


def decoded(file: BinaryIO, name: str) -> Iterator[str]:
    """Yield the lines of a binary file as text, without their ends.

    Args:
        name: of the file, for the error.
    Raises:
        ValueError: a line is not UTF-8.
    """
    for number, line in enumerate(file, 1):
        try:
            yield line.rstrip(b"\r\n").decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{name}: line {number}: expected UTF-8, got byte 0x{line[error.start]:02x} at "
                f"position {error.start + 1}; convert the file, as with iconv -f latin1 -t utf-8"
            ) from error
