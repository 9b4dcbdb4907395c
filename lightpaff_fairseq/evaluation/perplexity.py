"""Language models: `fairseq-eval-lm` as a user runs it, perplexity per token and per word.

Perplexity per token depends on how the text was cut: it cannot be compared between vocabularies,
nor with published numbers. The probability of the whole text can, and so can its perplexity per
word: with `n` tokens at `b` bits each and `w` words, `2 ** (n * b / w)`.
"""

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq.data import Dictionary, data_utils

from .fairseq_command import read_lines, run_fairseq
from .markdown_table import RATIOS, SIZE, Column, decimals
from .model_rows import ModelFile, Row, add_ratios, describe_file

LOSS = re.compile(r"Loss \(base 2\): ([\d.]+|inf|nan)")
SPEED = re.compile(r"Evaluated ([\d,]+) tokens in [\d.]+s \(([\d.]+) tokens/s\)")
PER_WORD = Column("ppl/word", "ppl_word", decimals(2))


@dataclass(frozen=True)
class Corpus:
    """A binarized split.

    Attributes:
        data, subset: where it is.
        tokens: symbols in it, one end of line a line included: each is predicted once.
        unknown: how many of them are fairseq's `<unk>`, which costs less than what it stands for.
        words: words of the raw text plus one end of line a line; None: not known.
    """

    data: Path
    subset: str
    tokens: int
    unknown: int
    words: int | None


def columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The table's columns; perplexity per word only where the words were counted."""
    per_word = (PER_WORD,) if "ppl_word" in rows[0] else ()
    perplexity = (Column("ppl/token", "ppl_token", decimals(2)), *per_word)
    return (*SIZE, *perplexity, Column("tokens/s", "tokens_per_s", decimals(0)), *RATIOS)


def evaluate_language_models(
    models: Sequence[ModelFile], corpus: Corpus, flags: Sequence[str], repeats: int
) -> list[Row]:
    """Scores a split with every model; speed is the median of runs taken in turn.

    Args:
        models: ratios are relative to the first.
        corpus: see `read_corpus`.
        flags: everything else for fairseq-eval-lm.
        repeats: runs a model; machines change speed, so the models' runs alternate.
    Raises:
        ValueError: fairseq-eval-lm failed or did not predict every token.
    """
    rows = [describe_file(model) for model in models]
    runs = [
        [_bits_and_speed(model.path, corpus, flags) for model in models] for _ in range(repeats)
    ]
    for i, row in enumerate(rows):
        bits, speeds = runs[0][i][0], [run[i][1] for run in runs]
        row.update(perplexities(bits, corpus))
        row["tokens_per_s"] = round(statistics.median(speeds), 2)
        row["tokens_per_s_runs"] = speeds
    add_ratios(rows, "tokens_per_s")
    return rows


def perplexities(bits: float, corpus: Corpus) -> Row:
    """Perplexities from the mean of `bits` a token, and the counts behind them."""
    row: Row = {"bits_per_token": bits, "ppl_token": round(2**bits, 3)}
    row.update(tokens=corpus.tokens, unknown_tokens=corpus.unknown)
    if corpus.words is not None:
        row["ppl_word"] = round(2 ** (bits * corpus.tokens / corpus.words), 3)
        row["words"] = corpus.words
    return row


def read_corpus(data: Path, subset: str, text: Path | None) -> Corpus:
    """Counts what a split holds.

    Args:
        data: the folder that fairseq-eval-lm gets.
        subset: name of the split.
        text: its raw text, words separated by white space; None: no perplexity per word.
    Raises:
        ValueError: a file is missing, or `text` has another number of lines than the split.
    """
    if not (data / "dict.txt").is_file():
        raise ValueError(
            f"DATA {data}: expected the data of --task language_modeling with dict.txt"
        )
    dictionary = Dictionary.load(str(data / "dict.txt"))
    dataset = data_utils.load_indexed_dataset(str(data / subset), dictionary)
    if dataset is None:
        raise ValueError(f"--gen-subset {subset}: no such split in {data}")
    lines = [dataset[i] for i in range(len(dataset))]
    unknown = sum(int((line == dictionary.unk()).sum()) for line in lines)
    words = None if text is None else _count_words(text, len(lines))
    return Corpus(data, subset, sum(len(line) for line in lines), unknown, words)


def _count_words(text: Path, lines: int) -> int:
    raw = read_lines(text)
    if len(raw) != lines:
        raise ValueError(
            f"--references {text}: expected {lines} lines, as the split has, found {len(raw)}"
        )
    return sum(len(line.split()) + 1 for line in raw)


def _bits_and_speed(path: Path, corpus: Corpus, flags: Sequence[str]) -> tuple[float, float]:
    argv = [str(corpus.data), "--gen-subset", corpus.subset, *flags]
    _, (loss, speed) = run_fairseq("fairseq-eval-lm", path, argv, LOSS, SPEED)
    tokens, bits = int(speed.group(1).replace(",", "")), float(loss.group(1))
    if tokens != corpus.tokens or not math.isfinite(bits):
        raise ValueError(
            f"--path {path}: expected a finite loss over the {corpus.tokens} tokens of split "
            f"{corpus.subset!r}, fairseq-eval-lm returned {bits} over {tokens}"
        )
    return bits, float(speed.group(2))
