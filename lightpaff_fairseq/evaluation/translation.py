"""Translation and summarization: `fairseq-generate` as a user runs it, and what came back."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .fairseq_command import read_lines, run_fairseq
from .markdown_table import RATIOS, SIZE, Column, decimals
from .model_rows import ModelFile, Row, add_ratios, describe_file
from .text_scores import METRICS, check_metrics, score

SPEED_COLUMN = Column("sentences/s", "sentences_per_s", decimals(0))
HYPOTHESIS = re.compile(r"^D-(\d+)\t[^\t]*\t(.*)$")  # D: detokenized; H would be before that
SPEED = re.compile(r"Translated .*\(([\d.]+) sentences/s")


@dataclass(frozen=True)
class TranslationSettings:
    """What is translated and how.

    Args:
        data: binarized data, the folder that fairseq-generate gets.
        references: raw texts, one sentence a line, in the order of the split.
        subset: name of the split.
        flags: everything else for fairseq-generate.
        metrics: see `scores.METRICS`.
    """

    data: Path
    references: tuple[Path, ...]
    subset: str
    flags: tuple[str, ...]
    metrics: tuple[str, ...] = ("bleu", "chrf")


@dataclass(frozen=True)
class Output:
    """One run's detokenized hypotheses, in the order of the split, and sentences a second."""

    hypotheses: list[str]
    sentences_per_s: float


def columns(metrics: Sequence[str]) -> tuple[Column, ...]:
    """The table's columns with these metrics."""
    scores = [Column(METRICS[name], name, decimals(1)) for name in metrics]
    return (*SIZE, *scores, SPEED_COLUMN, *RATIOS)


def evaluate_translation(
    models: Sequence[ModelFile], settings: TranslationSettings, repeats: int
) -> tuple[list[Row], list[list[str]]]:
    """Translates with every model and scores it; speed is the median of runs taken in turn.

    Args:
        models: ratios are relative to the first.
        settings: what is translated and how.
        repeats: runs a model; machines change speed, so the models' runs alternate.
    Returns:
        one row a model, and every model's hypotheses in the order of the references.
    Raises:
        ValueError: a file is missing or unusable, a metric's package is not installed,
            fairseq-generate failed, or it returned another number of sentences than there are
            references.
    """
    check_metrics(settings.metrics)
    references = [read_lines(path) for path in settings.references]
    count = len(references[0])
    if any(len(texts) != count for texts in references):
        raise ValueError(
            f"--references: expected equally long files, found {[len(r) for r in references]} lines"
        )
    rows = [describe_file(model) for model in models]
    runs = [[translate(m.path, settings, count) for m in models] for _ in range(repeats)]
    hypotheses = [output.hypotheses for output in runs[0]]
    for i, row in enumerate(rows):
        speeds = [run[i].sentences_per_s for run in runs]
        row.update(score(hypotheses[i], references, settings.metrics))
        row["sentences"] = count
        row["sentences_per_s"] = round(statistics.median(speeds), 2)
        row["sentences_per_s_runs"] = speeds
    add_ratios(rows, "sentences_per_s")
    return rows, hypotheses


def translate(path: Path, settings: TranslationSettings, expected: int) -> Output:
    """Runs fairseq-generate with one checkpoint.

    Args:
        path: the checkpoint.
        settings: what is translated and how.
        expected: number of sentences that must come back.
    Raises:
        ValueError: it failed, or returned another number of sentences.
    """
    # 1: fairseq drops the last sentences unless the batch is a multiple of its default 8
    argv = [str(settings.data), "--gen-subset", settings.subset]
    argv += ["--required-batch-size-multiple", "1", *settings.flags]
    output, (speed,) = run_fairseq("fairseq-generate", path, argv, SPEED)
    hypotheses = parse_hypotheses(output)
    if sorted(hypotheses) != list(range(expected)):
        raise ValueError(
            f"--path {path}: expected a translation for each of the {expected} lines of "
            f"{settings.references[0]}, fairseq-generate returned {len(hypotheses)} of split "
            f"{settings.subset!r}"
        )
    return Output([hypotheses[i] for i in range(expected)], float(speed.group(1)))


def parse_hypotheses(output: str) -> dict[int, str]:
    """Sentence number -> best detokenized hypothesis, from the output of fairseq-generate."""
    found: dict[int, str] = {}
    for line in output.split("\n"):
        match = HYPOTHESIS.match(line)
        if match:
            found.setdefault(int(match.group(1)), match.group(2))  # with --nbest: best first
    return found
