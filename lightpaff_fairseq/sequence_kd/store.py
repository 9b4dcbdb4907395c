"""A file of hypotheses: all that the teacher wrote to the sources of a block.

An ordinary `.npz` file, so every array has a checksum: symbols of all hypotheses one after the
other, their lengths, scores and whether they were cut, how many a source has, and the checksums
of the sources. It is written under another name and renamed when it is complete.
"""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..checkpoints.output_file import replacing
from .corpus import Symbols

DAMAGED = (OSError, ValueError, LookupError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Hypothesis:
    """What a teacher wrote.

    Attributes:
        symbols: `(T,)`, without eos and language tokens.
        score: of the generator (mean log-probability of a symbol unless --unnormalized).
        cut: whether it was ended by the length limit and not by the teacher.
    """

    symbols: Symbols
    score: float
    cut: bool


@dataclass(frozen=True)
class Answer:
    """All hypotheses of a source, best first (none: it is too long), and the source's checksum."""

    source: int
    hypotheses: Sequence[Hypothesis]


def write_block(path: Path, answers: Sequence[Answer]) -> None:
    """Writes the answers of consecutive sources; nothing is left behind if that fails.

    Raises:
        OSError: the file cannot be written.
    """
    found = [hypothesis for answer in answers for hypothesis in answer.hypotheses]
    symbols = [hypothesis.symbols for hypothesis in found]
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            sources=np.array([answer.source for answer in answers], dtype=np.uint32),
            counts=np.array([len(answer.hypotheses) for answer in answers], dtype=np.uint32),
            lengths=np.array([len(x) for x in symbols], dtype=np.uint32),
            scores=np.array([x.score for x in found], dtype=np.float32),
            cut=np.array([x.cut for x in found], dtype=np.bool_),
            symbols=np.concatenate([np.empty(0, np.uint32), *symbols]).astype(np.uint32),
        )


def read_block(path: Path, count: int) -> list[Answer]:
    """The answers of a block of `count` sources.

    Raises:
        ValueError: it is missing, damaged, or holds another number of answers.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            block = {name: arrays[name] for name in arrays.files}
        symbols = np.split(block["symbols"].astype(np.int64), np.cumsum(block["lengths"])[:-1])
        scores, cut = block["scores"].tolist(), block["cut"].tolist()
        rows = zip(symbols[: len(scores)], scores, cut, strict=True)
        hypotheses = [Hypothesis(*row) for row in rows]
        ends = np.cumsum(block["counts"]).tolist()
        starts = [0, *ends[:-1]]
        sources = block["sources"].tolist()
        spans = zip(sources, starts, ends, strict=True)
        answers = [Answer(source, hypotheses[a:b]) for source, a, b in spans]
    except DAMAGED as error:
        raise ValueError(
            f"{path}: damaged ({error}); delete this file and run the same command again"
        ) from error
    if len(answers) != count:
        raise ValueError(f"{path}: expected answers to {count} sources, found {len(answers)}")
    return answers
