"""Turn a student's tokens into a teacher's by way of their text, and align the two.

A token's text is compared in bytes, so that the pieces of single bytes count too. Two positions are
aligned if the text before them ends at the same byte of the same line.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from os.path import commonprefix
from typing import Any, NamedTuple

from fairseq.data import Dictionary

from .vocabulary_sides import Vocabulary

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
SPACE = "▁"  # SentencePiece's
NOT_TEXT = b"\xff"  # no byte of UTF-8, so equal to no text


class AlignedRow(NamedTuple):
    """A teacher's input for one row of a student's batch.

    Attributes:
        tokens: ids, beginning with end-of-sentence; pairs: (student's, teacher's position), both
            counted from 0 in the input without padding.
    """

    tokens: list[int]
    pairs: list[tuple[int, int]]


class TextAlignment:
    """The tokens of a teacher for those of a student."""

    def __init__(self, teacher: Vocabulary, student: Vocabulary) -> None:
        self._student, self._teacher = (side.processor() for side in (student, teacher))
        self.student, self.teacher = (
            {role: side.dictionary(role) for role in ("source", "target")}
            for side in (student, teacher)
        )

    def source(self, tokens: Sequence[int]) -> list[int]:
        """Return the teacher's tokens of a source sentence; `tokens`: without padding."""
        own, other = self.student["source"], self.teacher["source"]
        symbols = [own[token] for token in tokens if token not in (own.bos(), own.eos())]
        return [*map(other.index, self._pieces(symbols)), other.eos()]

    def target(self, tokens: Sequence[int]) -> AlignedRow:
        """Return the teacher's input for a row of tokens, of which the last is only a label.

        A row that starts within a line is read from its first new word on.
        """
        own, other = self.student["target"], self.teacher["target"]
        row = AlignedRow([other.eos()], [])
        begins = (own.eos() == token or own[token].startswith(SPACE) for token in tokens)
        start = next((k for k, begun in enumerate(begins) if begun), len(tokens))
        is_cut = start == len(tokens) or tokens[start] != own.eos()
        start += not is_cut
        while start < len(tokens):
            rest = tokens[start:]
            end = start + (rest.index(own.eos()) if own.eos() in rest else len(rest))
            self._add_line(row, [own[token] for token in tokens[start:end]], start - 1)
            if is_cut:
                row.pairs.pop(0)  # the teacher has not read what is before it
                is_cut = False
            row.tokens.append(other.eos())
            start = end + 1
        pairs = [(i, j) for i, j in row.pairs if i < len(tokens) - 1]
        return AlignedRow(row.tokens[: 1 + max((j for _, j in pairs), default=0)], pairs)

    def texts(self) -> tuple[list[bytes], list[bytes]]:
        """Return the texts of the teacher's and the student's target tokens; `b""`: is no text."""
        sides = (self._teacher, self.teacher), (self._student, self.student)
        teacher, student = (
            [piece_text(symbol, processor) for symbol in dictionaries["target"].symbols]
            for processor, dictionaries in sides
        )
        return teacher, student

    def openings(self, line: str) -> Iterator[tuple[int, int]]:
        """Yield (teacher's, student's token) that begin at an aligned position of a line."""
        own, other = self.student["target"], self.teacher["target"]
        tokens = [*map(own.index, self._student.encode(line, out_type=str))]
        symbols = [own[token] for token in tokens]
        pieces = self._pieces(symbols)
        for i, j in self._shared_ends(symbols, pieces):
            if i < len(tokens) and j < len(pieces):
                yield other.index(pieces[j]), tokens[i]

    def _add_line(self, row: AlignedRow, symbols: Sequence[str], first: int) -> None:
        """Add a line to a row; `first`: the student's position before its first token."""
        other = self.teacher["target"]
        pieces, last = self._pieces(symbols), len(row.tokens) - 1
        row.pairs.extend((first + i, last + j) for i, j in self._shared_ends(symbols, pieces))
        row.tokens.extend(map(other.index, pieces))

    def _shared_ends(
        self, symbols: Sequence[str], pieces: Sequence[str]
    ) -> Iterator[tuple[int, int]]:
        """Yield (numbers of the student's, of the teacher's tokens) that are the same text."""
        own = self.student["target"]
        texts = [text_of(x, own) for x in symbols], [text_of(x, None) for x in pieces]
        ends_s, ends_t = ([0, *accumulate(map(len, parts))] for parts in texts)
        same = len(commonprefix([b"".join(parts) for parts in texts]))
        places = {end: index for index, end in enumerate(ends_t) if end <= same}
        return ((index, places[end]) for index, end in enumerate(ends_s) if end in places)

    def _pieces(self, symbols: Sequence[str]) -> list[str]:
        text = self._student.decode_pieces(list(symbols))
        pieces: list[str] = self._teacher.encode(text, out_type=str)
        return pieces


def text_of(symbol: str, dictionary: Dictionary | None) -> bytes:
    """Return a token's bytes; `dictionary`: the student's, whose unknown tokens have no text."""
    if dictionary is not None and symbol == dictionary.unk_word:
        return NOT_TEXT
    match = BYTE.fullmatch(symbol)
    return bytes.fromhex(match[1]) if match else symbol.replace(SPACE, " ").encode()


def piece_text(symbol: str, processor: Any) -> bytes:
    """Return the bytes of a piece of a SentencePiece model, none of a symbol that is no text."""
    piece = processor.piece_to_id(symbol)
    is_text = not (processor.is_unknown(piece) or processor.is_control(piece))
    return text_of(symbol, None) if is_text else b""
