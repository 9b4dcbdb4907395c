"""Language models: perplexity per token and per word, by `fairseq-eval-lm`.

Perplexity per token depends on the tokenization and cannot be compared between vocabularies, nor
with published numbers. Perplexity per word can: with `n` tokens at `b` bits each and `w` words it
is `2 ** (n * b / w)`.
"""

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq.data import Dictionary, data_utils

from ..progress import Progress
from .evaluation_request import EvaluationRequest
from .fairseq_command import read_lines, run_fairseq
from .markdown_table import RATIOS, SIZE, Column, decimals
from .model_rows import Evaluation, ModelFile, Row, add_speeds, describe_file

LOSS = re.compile(r"Loss \(base 2\): ([\d.]+|inf|nan)")
SPEED = re.compile(r"Evaluated ([\d,]+) tokens in [\d.]+s \(([\d.]+) tokens/s\)")
PER_TOKEN = Column("ppl/token", "ppl_token", decimals(2))
PER_WORD = Column("ppl/word", "ppl_word", decimals(2))
SPEED_COLUMN = Column("tokens/s", "tokens_per_s", decimals(0))


@dataclass(frozen=True)
class Corpus:
    """The size of a binarized split.

    Attributes:
        tokens: number of tokens, with one eos per line.
        unknown: number of `<unk>` among them, which is cheaper than the word it replaces.
        words: words of the raw text plus one per line for eos; None: unknown.
    """

    tokens: int
    unknown: int
    words: int | None


def evaluate_language_models(models: Sequence[ModelFile], request: EvaluationRequest) -> Evaluation:
    """Score a split with every model.

    Raises:
        ValueError: a file cannot be used, or fairseq-eval-lm failed or skipped tokens.
    """
    text = request.references[0] if request.references else None
    corpora = {x.data: read_corpus(x.data, request.subset, text) for x in models}
    corpus = corpora[models[0].data]
    rows = [describe_file(model) for model in models]
    total = sum(corpora[x.data].tokens for x in models) * request.repeats
    with Progress("evaluate", total, "tokens") as progress:
        runs = [
            [_bits_and_speed(x, corpora[x.data].tokens, request, progress) for x in models]
            for _ in range(request.repeats)
        ]
    for row, model, (bits, _) in zip(rows, models, runs[0], strict=True):
        row.update(perplexities(bits, corpora[model.data]))
    add_speeds(rows, SPEED_COLUMN.key, [[speed for _, speed in round_] for round_ in runs])
    words = "" if corpus.words is None else f", {corpus.words} words"
    note = f"{corpus.tokens} tokens ({corpus.unknown} unknown){words}, ends of lines included"
    per_word = () if corpus.words is None else (PER_WORD,)
    return Evaluation(rows, (*SIZE, PER_TOKEN, *per_word, SPEED_COLUMN, *RATIOS), [note])


def perplexities(bits: float, corpus: Corpus) -> Row:
    """Return perplexities for a mean of `bits` per token, and the counts they depend on."""
    row: Row = {"bits_per_token": bits, "ppl_token": round(2**bits, 3)}
    row.update(tokens=corpus.tokens, unknown_tokens=corpus.unknown)
    if corpus.words is not None:
        row["ppl_word"] = round(2 ** (bits * corpus.tokens / corpus.words), 3)
        row["words"] = corpus.words
    return row


def read_corpus(data: Path, subset: str, text: Path | None) -> Corpus:
    """Count tokens and words of a split.

    Args:
        data: DATA of fairseq-eval-lm.
        subset: name of the split.
        text: its raw text, with words separated by white space, or None.
    Raises:
        ValueError: a file is missing, or the numbers of lines of `text` and the split differ.
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
    return Corpus(sum(len(line) for line in lines), unknown, words)


def _count_words(text: Path, lines: int) -> int:
    raw = read_lines(text)
    if len(raw) != lines:
        raise ValueError(
            f"--references {text}: expected {lines} lines, as in the split, got {len(raw)}"
        )
    return sum(len(line.split()) + 1 for line in raw)


def _bits_and_speed(
    model: ModelFile, expected: int, request: EvaluationRequest, progress: Progress
) -> tuple[float, float]:
    """Run fairseq-eval-lm, which prints nothing before it ends."""
    argv = [str(model.data), "--gen-subset", request.subset]
    argv += ["--tokens-per-sample", str(request.tokens_per_sample)]
    argv += ["--max-tokens", str(request.max_tokens), *shlex.split(request.generate_flags)]
    _, (loss, speed) = run_fairseq("fairseq-eval-lm", model.path, argv, [LOSS, SPEED])
    progress.advance(expected, model.name)
    tokens, bits = int(speed.group(1).replace(",", "")), float(loss.group(1))
    if tokens != expected or not math.isfinite(bits):
        raise ValueError(
            f"--path {model.path}: expected a finite loss over the {expected} tokens of split "
            f"{request.subset!r}, got {bits} over {tokens} tokens from fairseq-eval-lm"
        )
    return bits, float(speed.group(2))
