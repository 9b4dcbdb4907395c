"""Classification and regression of sentences: GLUE's metrics on a labeled split.

No fairseq command prints these: `fairseq-validate` prints the metrics of the training run.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch import nn

from ..progress import Progress
from .evaluation_request import SENTENCE_PREDICTION, EvaluationRequest
from .markdown_table import RATIOS, SIZE, Column, decimals
from .model_rows import (
    Evaluation,
    ModelFile,
    Row,
    add_speeds,
    check_same_samples,
    describe_file,
)
from .naive_bayes import naive_bayes_accuracy

BATCH = 64  # sentences
NAIVE_BAYES = "Naive Bayes on the counts of the training split's tokens"
POSITIVE = "1"  # name of the class whose F1 GLUE reports
TITLES = {  # column titles; `score` returns either the first three keys or the last two
    "accuracy": "accuracy",
    "f1": "F1",
    "mcc": "MCC",
    "pearson": "Pearson",
    "spearman": "Spearman",
}
SPEED_COLUMN = Column("sentences/s", "sentences_per_s", decimals(0))


@dataclass(frozen=True)
class Predictions:
    """The predictions and labels of a split, in its order.

    Attributes:
        predicted, expected: class numbers, or the values of a regression.
        classes: the name of each class number; empty for a regression.
        sentences_per_s: speed of the forward passes, without loading.
    """

    predicted: list[float]
    expected: list[float]
    classes: tuple[str, ...]
    sentences_per_s: float


def evaluate_classification(models: Sequence[ModelFile], request: EvaluationRequest) -> Evaluation:
    """Predict with every model and score it.

    Raises:
        ValueError: a file is not a checkpoint of the task, the split is missing or unlabeled, or
            the models have other classes than each other or the data.
    """
    rows = [describe_file(model) for model in models]
    loaded = [load(model.path, model.data, request.subset) for model in models]
    total = request.repeats * sum(len(dataset) for _, _, dataset in loaded)
    with Progress("evaluate", total, "sentences") as progress:
        runs = [[predict(*each, progress) for each in loaded] for _ in range(request.repeats)]
    _check_classes(runs[0], request.subset)
    check_same_samples(models, [run.expected for run in runs[0]])
    for row, run in zip(rows, runs[0], strict=True):
        row.update(score(run), sentences=len(run.expected))
    speeds = [[round(run.sentences_per_s, 2) for run in round_] for round_ in runs]
    add_speeds(rows, SPEED_COLUMN.key, speeds)
    scores = [Column(title, key, decimals(1)) for key, title in TITLES.items() if key in rows[0]]
    columns = (*SIZE, *scores, SPEED_COLUMN, *RATIOS)
    note = f"{rows[0]['sentences']} sentences"
    if "f1_of" not in rows[0]:
        return Evaluation(rows, columns, [note])
    notes = [f"{note}; F1 {rows[0]['f1_of']}"]
    simple = naive_bayes_accuracy(*loaded[0][1:])
    if simple is not None:
        notes.append(f"{NAIVE_BAYES}: accuracy {simple:.1f}")
        rows = [{**row, "naive_bayes": simple} for row in rows]
    return Evaluation(rows, columns, notes)


def _check_classes(runs: Sequence[Predictions], subset: str) -> None:
    """Refuse models of different classes, and labels that are none of them."""
    classes = {run.classes for run in runs}
    if len(classes) > 1:
        raise ValueError(f"--path: expected models of the same classes, got {_listed(classes)}")
    count = len(runs[0].classes)
    unknown = sum(not 0 <= label < count for label in runs[0].expected) if count else 0
    if unknown:
        raise ValueError(
            f"--gen-subset {subset}: expected labels of the model's classes, got {unknown} others"
        )


def load(path: Path, data: Path, subset: str) -> tuple[nn.Module, Any, Any]:
    """Return a checkpoint's model, its task and the dataset of a split."""
    models, cfg, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(path)], arg_overrides={"data": str(data)}
    )
    if cfg.task._name != SENTENCE_PREDICTION:
        raise ValueError(
            f"--path {path}: expected a model of --task {SENTENCE_PREDICTION}, got {cfg.task._name}"
        )
    try:
        dataset = task.load_dataset(subset)
    except (AssertionError, FileNotFoundError) as error:
        raise ValueError(f"--gen-subset {subset}: no such split in {data}: {error}") from error
    if not len(dataset) or "target" not in dataset.collater([dataset[0]]):
        raise ValueError(f"--gen-subset {subset}: expected labels in {data}/label, got none")
    limit = utils.resolve_max_positions(models[0].max_positions())
    limit = min(limit) if isinstance(limit, tuple) else limit  # BART: encoder and decoder
    longest = max(map(dataset.num_tokens, range(len(dataset))))
    if longest > limit:
        raise ValueError(
            f"--gen-subset {subset}: expected sentences of at most {limit} tokens, the limit of "
            f"--path {path}, got one of {longest}"
        )
    model = models[0].eval()
    return model.cuda() if torch.cuda.is_available() else model, task, dataset


def class_names(task: Any) -> tuple[str, ...]:
    """Return the name of each class number: fairseq numbers classes by frequency, not by name.

    Raises:
        ValueError: the dictionary of the labels has fewer classes than the model.
    """
    if task.cfg.regression_target:
        return ()
    dictionary, count = task.label_dictionary, int(task.cfg.num_classes)
    names = tuple(dictionary.symbols[dictionary.nspecial :])
    if names[-1:] == ("<mask>",):  # fairseq adds it to every dictionary of this task
        names = names[:-1]
    if len(names) < count:
        raise ValueError(
            f"DATA {task.cfg.data}: expected the model's {count} classes in label/dict.txt, got "
            f"{', '.join(names)}"
        )
    return names[:count]


@torch.no_grad()
def predict(model: nn.Module, task: Any, dataset: Any, progress: Progress) -> Predictions:
    """Run a model over a dataset, shortest sentences first."""
    cfg, classes = task.cfg, class_names(task)
    order = sorted(range(len(dataset)), key=dataset.num_tokens)
    predicted, expected = [0.0] * len(order), [0.0] * len(order)
    seconds = 0.0
    for start in range(0, len(order), BATCH):
        indices = order[start : start + BATCH]
        sample = dataset.collater([dataset[i] for i in indices])
        if torch.cuda.is_available():
            sample = utils.move_to_cuda(sample)
        begin = time.perf_counter()
        logits = model(
            **sample["net_input"],
            features_only=True,
            classification_head_name=cfg.classification_head_name,
        )[0]
        output = logits.view(-1) if cfg.regression_target else logits.argmax(-1)
        values = output.tolist()  # synchronizes the device
        seconds += time.perf_counter() - begin
        targets = sample["target"].view(-1).tolist()
        for i, value, target in zip(indices, values, targets, strict=True):
            predicted[i], expected[i] = value, target
        progress.advance(len(indices))
    return Predictions(predicted, expected, classes, len(order) / seconds)


def score(run: Predictions) -> Row:
    """Return the metrics, all times 100, and in `f1_of` which F1 it is.

    Classifiers: accuracy, Matthews' correlation, and F1 (if there are two classes and one is named
    1, of that one, as in GLUE; else the mean over the classes of the split). Regressions: Pearson's
    and Spearman's correlation.
    """
    if not run.classes:
        values = {
            "pearson": pearsonr(run.expected, run.predicted)[0],
            "spearman": spearmanr(run.expected, run.predicted)[0],
        }
        return _percent(values)
    # The label set decides, not what a model predicted: all rows have the same F1
    binary = len(run.classes) == 2 and POSITIVE in run.classes
    labels = [run.classes.index(POSITIVE)] if binary else sorted(set(run.expected))
    values = {
        "accuracy": accuracy_score(run.expected, run.predicted),
        "f1": f1_score(
            run.expected, run.predicted, labels=labels, average="macro", zero_division=0
        ),
        "mcc": matthews_corrcoef(run.expected, run.predicted),
    }
    return {**_percent(values), "f1_of": f"of class {POSITIVE}" if binary else "mean over classes"}


def _percent(values: Row) -> Row:
    return {name: round(100 * float(value), 2) for name, value in values.items()}


def _listed(classes: Iterable[tuple[str, ...]]) -> str:
    return " and ".join(sorted(", ".join(names) or "a regression" for names in classes))
