"""The flags of `lightpaff evaluate`, and their checks."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..embedding_poolings import POOLINGS
from ..fairseq_flags import post_process_problem, words_problems
from ..flags import at_least, flag, range_problems
from ..output_file import file_problem, parent_problem
from ..problems import Problems, prefix_errors
from .model_rows import ModelFile
from .text_scores import METRICS, missing_package

TRANSLATION, LANGUAGE_MODELING = "translation", "language_modeling"
SENTENCE_PREDICTION, SENTENCE_EMBEDDING = "sentence_prediction", "sentence_embedding"
TASKS = (TRANSLATION, LANGUAGE_MODELING, SENTENCE_PREDICTION, SENTENCE_EMBEDDING)


@dataclass(frozen=True)
class EvaluationRequest:
    """The checkpoints to compare, the split, and the settings."""

    data: Path = flag(
        "binarized data, as for fairseq; of several folders, joined by colons, the first is read",
        name="data",
        metavar="DATA",
    )
    path: list[Path] = flag("fairseq checkpoints", nargs="+", metavar="FILE")
    name: list[str] | None = flag(
        "names of the rows (default: the files' names)", None, nargs="+", metavar="NAME"
    )
    group: list[str] | None = flag(
        "model of every row, equal for training runs that differ in their seed: lightpaff report "
        "averages them (default: the names)",
        None,
        nargs="+",
        metavar="NAME",
    )
    data_of: tuple[str, ...] = flag(
        "for models with other dictionaries than DATA: the row's name and the same samples, "
        "binarized with its dictionaries",
        (),
        nargs="+",
        metavar="NAME=DIR",
    )
    task: str = flag("what to evaluate (default: %(default)s)", TRANSLATION, choices=TASKS)
    subset: str = flag("split (default: %(default)s)", "test", name="--gen-subset", metavar="SPLIT")
    teacher: Path | None = flag(
        "fairseq checkpoint to compare every row's distributions with, on the reference text: "
        "acceptance as a draft of speculative decoding, same argmax, calibration errors, KL; "
        "sentence_embedding: its cosines",
        None,
        metavar="FILE",
    )
    out: Path | None = flag("also write the rows to this JSON file", None, metavar="FILE")
    references: tuple[Path, ...] = flag(
        "raw text, one line per sentence. translation: one file per reference; "
        "language_modeling: one file, to count its words",
        (),
        nargs="+",
        metavar="FILE",
    )
    max_tokens: int = flag(
        "tokens per batch of translation and language_modeling (default: %(default)s)",
        4000,
        metavar="N",
        expected=at_least(1),
    )
    generate_flags: str = flag(
        'more flags of fairseq-generate or fairseq-eval-lm, as "--lenpen 0.6 --cpu"',
        "",
        metavar="FLAGS",
        may_be_empty=True,
    )
    repeats: int = flag(
        "runs per model; the table shows the median speed (default: %(default)s)",
        3,
        metavar="N",
        expected=at_least(1),
    )
    metrics: tuple[str, ...] = flag(
        "translation: %(choices)s (default: bleu chrf); rouge needs the package rouge-score",
        ("bleu", "chrf"),
        nargs="+",
        choices=tuple(METRICS),
        metavar="NAME",
    )
    beam: int = flag(
        "translation: beam size (default: %(default)s)", 5, metavar="N", expected=at_least(1)
    )
    remove_bpe: str = flag(
        "translation: as in fairseq; none = off (default: %(default)s)",
        "sentencepiece",
        metavar="KIND",
    )
    compare: list[str] | None = flag(
        "translation: two row names; print the gain of the second over the first, or the share "
        "that it keeps of the first row's (the teacher's) quality",
        None,
        nargs=2,
        metavar="NAME",
    )
    hypotheses: Path | None = flag(
        "translation: also write the translations into this folder, NAME.txt per row",
        None,
        metavar="DIR",
    )
    pooling: str = flag(
        "sentence_embedding: the mean of all tokens' outputs, or the first token's (default: "
        "%(default)s)",
        POOLINGS[0],
        choices=POOLINGS,
    )
    tokens_per_sample: int = flag(
        "language_modeling: maximum tokens per block, as in training (default: %(default)s)",
        128,
        metavar="N",
        expected=at_least(1),
    )


def check_request(request: EvaluationRequest) -> list[ModelFile]:
    """Check the flags and return the models to evaluate.

    Raises:
        ValueError: lists every problem.
    """
    names = request.name or [path.stem for path in request.path]
    groups = request.group or names
    problems = Problems(range_problems(request))
    count = len(request.path)
    for option, given in (("--group", groups), ("--name", names)):
        problems.unless(
            len(given) == count,
            f"{option}: expected {count} names, one per --path, got {len(given)}",
        )
    is_clear = len(set(names)) == len(names)
    problems.unless(is_clear, f"--name: expected different names, got {' '.join(names)}")
    with prefix_errors("--generate-flags"):
        problems.extend(
            f"--generate-flags: {x}" for x in words_problems(shlex.split(request.generate_flags))
        )
    _check_task(request, names, problems)
    others = _other_data(request, names, problems)
    problems.unless(
        request.data.is_dir(), f"DATA {request.data}: expected a folder of binarized data, got none"
    )
    teacher = [("--teacher", request.teacher)] if request.teacher else []
    for option, path in [*(("--path", path) for path in request.path), *teacher]:
        problems.unless(path.is_file(), f"{option} {path}: no such file")
    if request.out:
        problems.extend([file_problem(request.out, "--out", overwrite=True)])
    _check_hypotheses(request, names, problems)
    problems.raise_if_any()
    return [
        ModelFile(name, path, group, others.get(name, request.data))
        for name, path, group in zip(names, request.path, groups, strict=True)
    ]


def _other_data(
    request: EvaluationRequest, names: Sequence[str], problems: Problems
) -> dict[str, Path]:
    """Return the folder of each row of --data-of."""
    folders: dict[str, Path] = {}
    for word in request.data_of:
        name, equals, folder = word.partition("=")
        problems.unless(
            bool(equals) and name in names,
            f"--data-of {word}: expected NAME=DIR with a name of {', '.join(names)}",
        )
        problems.unless(
            not equals or Path(folder).is_dir(), f"--data-of {word}: expected a folder, got none"
        )
        problems.unless(name not in folders, f"--data-of: expected {name} once")
        folders[name] = Path(folder)
    if folders and request.task != SENTENCE_EMBEDDING:
        problems.unless(
            request.teacher is None,
            "--teacher: expected no --data-of, since distributions over other tokens cannot be "
            "compared",
        )
    if folders and request.task == LANGUAGE_MODELING:
        problems.unless(
            len(request.references) == 1,
            "--data-of: expected --references, since perplexities per token of other dictionaries "
            "cannot be compared, those per word can",
        )
    return folders


def _check_hypotheses(request: EvaluationRequest, names: Sequence[str], problems: Problems) -> None:
    folder = request.hypotheses
    if folder is None:
        return
    problems.unless(
        request.task == TRANSLATION, f"--hypotheses: no effect with --task {request.task}"
    )
    problems.unless(
        not any("/" in name for name in names),
        "--hypotheses: expected a --name without / for every row, since it names a file",
    )
    problems.unless(
        folder.is_dir() or not folder.exists(), f"--hypotheses {folder}: expected a folder"
    )
    problems.extend([parent_problem(folder, "--hypotheses")])


def _check_task(request: EvaluationRequest, names: Sequence[str], problems: Problems) -> None:
    files, metrics = len(request.references), request.metrics
    if request.task == TRANSLATION:
        problems.extend([post_process_problem("--remove-bpe", request.remove_bpe)])
        problems.unless(files > 0, "--references: expected a text file for --task translation")
        problems.extend([missing_package(metrics)])
    if request.task == LANGUAGE_MODELING:
        problems.unless(
            files <= 1, f"--references: expected one text file to count words in, got {files}"
        )
    if request.compare:
        unknown = [name for name in request.compare if name not in names]
        problems.unless(
            not unknown, f"--compare: expected two of {', '.join(names)}, got {', '.join(unknown)}"
        )
        problems.unless(
            request.task == TRANSLATION and {"bleu", "chrf"} <= set(metrics),
            "--compare: expected --task translation with --metrics bleu chrf",
        )
