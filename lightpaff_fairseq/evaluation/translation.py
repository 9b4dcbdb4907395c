"""Translation and summarization: scores of the output of `fairseq-generate`."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..output_file import write_text
from ..progress import Progress
from .evaluation_request import EvaluationRequest
from .fairseq_command import read_lines, run_fairseq
from .markdown_table import RATIOS, SIZE, Column, decimals
from .model_comparison import Scored, compare, p_value
from .model_rows import Evaluation, ModelFile, Row, add_speeds, describe_file
from .text_scores import METRICS, score

SPEED_COLUMN = Column("sentences/s", "sentences_per_s", decimals(0))
HYPOTHESIS = re.compile(r"^D-(\d+)\t[^\t]*\t(.*)$")  # D: detokenized, unlike H
SPEED = re.compile(r"Translated .*\(([\d.]+) sentences/s")


@dataclass(frozen=True)
class Output:
    """The detokenized hypotheses of one run, in the order of the split, and its speed."""

    hypotheses: list[str]
    sentences_per_s: float


def evaluate_translation(models: Sequence[ModelFile], request: EvaluationRequest) -> Evaluation:
    """Translate with every model and score it.

    Raises:
        ValueError: a file cannot be used, fairseq-generate failed, or the numbers of hypotheses
            and references differ.
    """
    references = [read_lines(path) for path in request.references]
    count = len(references[0])
    if any(len(texts) != count for texts in references):
        raise ValueError(
            f"--references: expected equally long files, got {[len(r) for r in references]} lines"
        )
    rows = [describe_file(model) for model in models]
    total = count * len(models) * request.repeats
    with Progress("evaluate", total, "sentences") as progress:
        runs = [
            [translate(model, request, count, progress) for model in models]
            for _ in range(request.repeats)
        ]
    hypotheses = [output.hypotheses for output in runs[0]]
    for row, texts in zip(rows, hypotheses, strict=True):
        row.update(score(texts, references, request.metrics), sentences=count)
    if request.hypotheses:
        _write(request.hypotheses, models, hypotheses)
    add_speeds(rows, SPEED_COLUMN.key, [[x.sentences_per_s for x in round_] for round_ in runs])
    signatures = [key for key in rows[0] if key.endswith("_signature")]
    against = ", ".join(map(str, request.references))
    notes = [f"all {count:,} sentences of {request.subset}, against {against}"]
    notes += ["; ".join(f"{key.split('_')[0]} {rows[0][key]}" for key in signatures)]
    if request.compare:
        notes.append(_comparison(request.compare, rows, hypotheses, references[0]))
    scores = [Column(METRICS[name], name, decimals(1)) for name in request.metrics]
    return Evaluation(rows, (*SIZE, *scores, SPEED_COLUMN, *RATIOS), notes)


def _write(folder: Path, models: Sequence[ModelFile], hypotheses: Sequence[list[str]]) -> None:
    folder.mkdir(exist_ok=True)
    for model, texts in zip(models, hypotheses, strict=True):
        write_text(folder / f"{model.name}.txt", "\n".join(texts) + "\n", "--hypotheses")


def _comparison(
    names: Sequence[str],
    rows: Sequence[Row],
    hypotheses: Sequence[Sequence[str]],
    references: Sequence[str],
) -> str:
    """Return the sentence for `--compare`."""
    scored = {
        row["name"]: Scored(row["name"], row["bleu"], row["chrf"], texts)
        for row, texts in zip(rows, hypotheses, strict=True)
    }
    first, second = (scored[name] for name in names)
    return compare(first, second, scored[rows[0]["name"]], p_value(first, second, references))


def translate(
    model: ModelFile, request: EvaluationRequest, expected: int, progress: Progress
) -> Output:
    """Run fairseq-generate with one checkpoint.

    Args:
        expected: number of sentences; progress: counts them.
    Raises:
        ValueError: it failed, or returned another number of sentences.
    """
    argv = [str(model.data), "--gen-subset", request.subset]
    # 1: fairseq drops the last sentences unless the batch is a multiple of its default 8
    argv += ["--required-batch-size-multiple", "1"]
    argv += ["--beam", str(request.beam), "--max-tokens", str(request.max_tokens)]
    if request.remove_bpe != "none":
        argv += ["--remove-bpe", request.remove_bpe]
    argv += shlex.split(request.generate_flags)
    seen: set[str] = set()  # with --nbest, a sentence has several hypotheses

    def count(line: str) -> None:
        match = HYPOTHESIS.match(line)
        if match and match.group(1) not in seen:
            seen.add(match.group(1))
            progress.advance(1, model.name)

    output, (speed,) = run_fairseq("fairseq-generate", model.path, argv, [SPEED], count)
    hypotheses = parse_hypotheses(output)
    if sorted(hypotheses) != list(range(expected)):
        raise ValueError(
            f"--path {model.path}: expected a translation for each of the {expected} lines of "
            f"{request.references[0]}, got {len(hypotheses)} from fairseq-generate for split "
            f"{request.subset!r}"
        )
    return Output([hypotheses[i] for i in range(expected)], float(speed.group(1)))


def parse_hypotheses(output: str) -> dict[int, str]:
    """Return the best detokenized hypothesis by sentence number, as fairseq-generate prints it."""
    hypotheses: dict[int, str] = {}
    for line in output.split("\n"):
        match = HYPOTHESIS.match(line)
        if match:
            hypotheses.setdefault(int(match.group(1)), match.group(2))  # with --nbest: best first
    return hypotheses
