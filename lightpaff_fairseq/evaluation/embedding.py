"""Sentence embeddings: correlation of their cosines with the relatedness of labeled pairs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fairseq import utils
from fairseq.tasks.sentence_prediction import SentencePredictionConfig, SentencePredictionTask
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn

from ..checkpoints.building import build, heads_in, load_weights
from ..checkpoints.dictionaries import check_trained_with
from ..checkpoints.reading import read_checkpoint
from ..losses.embeddings import cosine_distance
from ..models.sentence_embeddings import embed, split_sentences
from ..problems import as_value_error
from ..progress import Progress
from .classification import BATCH, SPEED_COLUMN, TITLES
from .evaluation_request import EvaluationRequest
from .markdown_table import RATIOS, SIZE, Column, decimals
from .model_rows import Evaluation, ModelFile, add_speeds, check_same_samples, describe_file

CORRELATIONS = {"spearman": spearmanr, "pearson": pearsonr}
OF_TEACHER = Column("Spearman with teacher", "teacher_spearman", decimals(1))


@dataclass(frozen=True)
class Pairs:
    """A split of sentence pairs, and the task whose dictionary they are encoded with.

    Attributes:
        labels: the relatedness of each pair, in the order of the data set.
    """

    task: Any
    dataset: Any
    labels: list[float]


def evaluate_embedding(models: Sequence[ModelFile], request: EvaluationRequest) -> Evaluation:
    """Embed all sentences with every model; correlate the cosine of each pair with its label.

    With --teacher, also with the teacher's cosine.

    Raises:
        ValueError: a file is not a roberta or bert with the dictionary of the data, or the split
            is missing, or has other samples than pairs with one number as their label.
    """
    pairs_in = {x.data: read_pairs(x.data, request.subset) for x in models}
    of_models, pairs = [pairs_in[x.data] for x in models], pairs_in[models[0].data]
    check_same_samples(models, [own.labels for own in of_models])
    rows = [describe_file(model) for model in models]
    loaded = [
        _load(model.path, "--path", own, request)
        for model, own in zip(models, of_models, strict=True)
    ]
    teacher = _load(request.teacher, "--teacher", pairs, request) if request.teacher else None
    total = len(pairs.labels) * (request.repeats * len(models) + (teacher is not None))
    with Progress("evaluate", total, "pairs") as progress:
        runs = [
            [
                cosines(model, own, request.pooling, progress)
                for model, own in zip(loaded, of_models, strict=True)
            ]
            for _ in range(request.repeats)
        ]
        expected = teacher and cosines(teacher, pairs, request.pooling, progress)[0]
    for row, (values, _) in zip(rows, runs[0], strict=True):
        row["pairs"] = len(values)
        for name, correlation in CORRELATIONS.items():
            row[name] = round(100 * float(correlation(pairs.labels, values)[0]), 2)
        if expected:
            row[OF_TEACHER.key] = round(100 * float(spearmanr(expected, values)[0]), 2)
    speeds = [[round(speed, 2) for _, speed in round_] for round_ in runs]
    add_speeds(rows, SPEED_COLUMN.key, speeds)
    scores = [Column(TITLES[name], name, decimals(1)) for name in CORRELATIONS]
    scores += [OF_TEACHER] if expected else []
    note = f"{len(pairs.labels)} pairs of {request.subset}; --pooling {request.pooling}; cosine"
    return Evaluation(rows, (*SIZE, *scores, SPEED_COLUMN, *RATIOS), [note])


def read_pairs(data: Path, subset: str) -> Pairs:
    """Read a split of `input0`, `input1` and `label/SPLIT.label`.

    Raises:
        ValueError: the split is missing or unlabeled, or has samples that are not pairs.
    """
    cfg = SentencePredictionConfig(
        data=str(data), num_classes=1, init_token=0, no_shuffle=True, regression_target=True, seed=1
    )
    named = f"--gen-subset {subset}"
    with as_value_error(f"{named}: expected pairs with one number each in {data}"):
        task = SentencePredictionTask.setup_task(cfg)
        dataset = task.load_dataset(subset)
        samples = [dataset[i] for i in range(len(dataset))]
    if not samples or "target" not in samples[0]:
        raise ValueError(f"{named}: expected {data}/label/{subset}.label, got none")
    counts = [
        split_sentences(sample["net_input.src_tokens"][None], task.source_dictionary)[1][0]
        for sample in samples
    ]
    others = sum(count != 2 for count in counts)
    if others:
        raise ValueError(f"{named}: expected pairs (input0, input1), got {others} other samples")
    return Pairs(task, dataset, [float(sample["target"][0]) for sample in samples])


def _load(path: Path, flag: str, pairs: Pairs, request: EvaluationRequest) -> nn.Module:
    """Return the model of a checkpoint of any task, in eval mode."""
    named = f"{flag} {path}"
    state = read_checkpoint(path, flag)
    cfg, tensors = state["cfg"], state["model"]
    check_trained_with((flag, path), cfg.task, pairs.task, f"DATA {pairs.task.cfg.data}")
    model: Any = build(cfg.model, pairs.task, heads_in(tensors), named)
    if not hasattr(getattr(model, "encoder", None), "sentence_encoder"):
        raise ValueError(f"{named}: expected a roberta or a bert, got {type(model).__name__}")
    load_weights(model, tensors, cfg.model, named)
    limit = utils.resolve_max_positions(model.max_positions())
    longest = max(_sentences(pairs, [i]).size(1) for i in range(len(pairs.labels)))
    if longest > limit:
        raise ValueError(
            f"--gen-subset {request.subset}: expected sentences of at most {limit} tokens, the "
            f"limit of {named}, got one of {longest}"
        )
    if torch.cuda.is_available():
        model = model.cuda()
    evaluated: nn.Module = model.eval()
    return evaluated


def _sentences(pairs: Pairs, indices: Sequence[int]) -> Tensor:
    """Return the tokens of pairs, `(2 N, T)`: first, second, first, second, ..."""
    sample = pairs.dataset.collater([pairs.dataset[i] for i in indices])
    tokens = sample["net_input"]["src_tokens"]
    return split_sentences(tokens, pairs.task.source_dictionary)[0]


@torch.no_grad()
def cosines(
    model: nn.Module, pairs: Pairs, pooling: str, progress: Progress
) -> tuple[list[float], float]:
    """Return the cosine of the two embeddings of each pair, and sentences per second.

    Args:
        pooling: one of `POOLINGS`.
    """
    order = sorted(range(len(pairs.labels)), key=pairs.dataset.num_tokens)
    values, seconds = [0.0] * len(order), 0.0
    for start in range(0, len(order), BATCH // 2):
        indices = order[start : start + BATCH // 2]
        tokens = _sentences(pairs, indices).to(next(model.parameters()).device)
        begin = time.perf_counter()
        embedded = embed(model, tokens, pairs.task.source_dictionary.pad(), pooling)
        batch = (1 - cosine_distance(embedded[::2], embedded[1::2])).tolist()  # synchronizes
        seconds += time.perf_counter() - begin
        for index, value in zip(indices, batch, strict=True):
            values[index] = value
        progress.advance(len(indices))
    return values, 2 * len(order) / seconds
