"""Classification and regression of sentences: the convention of GLUE on a labeled split.

fairseq has no command that prints these for a checkpoint: `fairseq-validate` prints what the
checkpoint was told to report in training.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from torch import nn

from .markdown_table import RATIOS, SIZE, Column, decimals
from .model_rows import ModelFile, Row, add_ratios, describe_file

BATCH = 64  # sentences
CLASSES = (
    Column("accuracy", "accuracy", decimals(1)),
    Column("F1", "f1", decimals(1)),
    Column("MCC", "mcc", decimals(1)),
)
REGRESSION = (
    Column("Pearson", "pearson", decimals(1)),
    Column("Spearman", "spearman", decimals(1)),
)
SPEED = Column("sentences/s", "sentences_per_s", decimals(0))


@dataclass(frozen=True)
class Predictions:
    """One run over a split: N values a sentence, in the order of the split.

    Attributes:
        predicted, expected: class numbers, or numbers of a regression.
        regression: which of the two.
        sentences_per_s: of the forward passes, loading not counted.
    """

    predicted: list[float]
    expected: list[float]
    regression: bool
    sentences_per_s: float


def columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The table's columns: the metrics are those of the first row's kind."""
    metrics = REGRESSION if "pearson" in rows[0] else CLASSES
    return (*SIZE, *metrics, SPEED, *RATIOS)


def evaluate_classification(
    models: Sequence[ModelFile], data: Path, subset: str, repeats: int
) -> list[Row]:
    """Predicts with every model and scores it; speed is the median of runs taken in turn.

    Args:
        models: ratios are relative to the first.
        data: the folder of the task sentence_prediction.
        subset: name of the split, which must be labeled.
        repeats: runs a model; machines change speed, so the models' runs alternate.
    Raises:
        ValueError: a file is not a checkpoint of the task, or the split is missing or unlabeled.
    """
    rows = [describe_file(model) for model in models]
    loaded = [load(model.path, data, subset) for model in models]
    runs = [[predict(*pair) for pair in loaded] for _ in range(repeats)]
    for i, row in enumerate(rows):
        speeds = [round(run[i].sentences_per_s, 2) for run in runs]
        row.update(score(runs[0][i]))
        row["sentences"] = len(runs[0][i].expected)
        row["sentences_per_s"] = round(statistics.median(speeds), 2)
        row["sentences_per_s_runs"] = speeds
    if len({"pearson" in row for row in rows}) > 1:
        raise ValueError("--path: expected classifiers or regressions, found both")
    add_ratios(rows, "sentences_per_s")
    return rows


def load(path: Path, data: Path, subset: str) -> tuple[nn.Module, Any, Any]:
    """A checkpoint's model, its task's configuration and the split's dataset.

    Raises:
        ValueError: see `evaluate_classification`.
    """
    models, cfg, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(path)], arg_overrides={"data": str(data)}
    )
    if cfg.task._name != "sentence_prediction":
        raise ValueError(
            f"--path {path}: expected a model of --task sentence_prediction, found {cfg.task._name}"
        )
    try:
        dataset = task.load_dataset(subset)
    except (AssertionError, FileNotFoundError) as error:
        raise ValueError(f"--gen-subset {subset}: no such split in {data}: {error}") from error
    if not len(dataset) or "target" not in dataset.collater([dataset[0]]):
        raise ValueError(f"--gen-subset {subset}: expected labels in {data}/label, found none")
    limit = utils.resolve_max_positions(models[0].max_positions())
    limit = min(limit) if isinstance(limit, tuple) else limit  # BART reads it on both sides
    longest = max(map(dataset.num_tokens, range(len(dataset))))
    if longest > limit:
        raise ValueError(
            f"--path {path}: expected sentences of at most {limit} symbols, which the model takes, "
            f"--gen-subset {subset} of {data} has one of {longest}"
        )
    model = models[0].eval()
    return model.cuda() if torch.cuda.is_available() else model, cfg.task, dataset


@torch.no_grad()
def predict(model: nn.Module, cfg: Any, dataset: Any) -> Predictions:
    """Runs a model over a dataset, shortest sentences first."""
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
        values = output.tolist()  # waits for the device
        seconds += time.perf_counter() - begin
        for i, value, target in zip(
            indices, values, sample["target"].view(-1).tolist(), strict=True
        ):
            predicted[i], expected[i] = value, target
    return Predictions(predicted, expected, bool(cfg.regression_target), len(order) / seconds)


def score(run: Predictions) -> Row:
    """The metrics, all times 100.

    Classes: accuracy, Matthews' correlation, and F1: of class 1 where there are two classes (GLUE's
    convention), else the mean over classes. Regression: Pearson and Spearman correlation.
    """
    if run.regression:
        values = {
            "pearson": pearsonr(run.expected, run.predicted)[0],
            "spearman": spearmanr(run.expected, run.predicted)[0],
        }
    else:
        average = "binary" if set(run.expected) | set(run.predicted) <= {0, 1} else "macro"
        values = {
            "accuracy": accuracy_score(run.expected, run.predicted),
            "f1": f1_score(run.expected, run.predicted, average=average),
            "mcc": matthews_corrcoef(run.expected, run.predicted),
        }
    return {name: round(100 * float(value), 2) for name, value in values.items()}
