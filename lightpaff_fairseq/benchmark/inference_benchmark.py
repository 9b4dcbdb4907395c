"""`lightpaff benchmark inference`: teacher and student in fairseq and in serving formats."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..checkpoints.dictionaries import first_difference
from ..evaluation.model_rows import Row, count_parameters
from ..export.engines import Engine
from ..export.export_quality import Labels
from ..export.loaded_model import LANGUAGE_MODELING, LoadedModel
from ..export.sample_batches import Sample, split_samples
from ..progress import Progress
from ..timing import interleaved_times, median_ratio
from .inference_backends import FAIRSEQ, Variant, plan_variants, write_variants
from .inference_memory import peak_mb
from .inference_settings import InferenceProblem
from .peer_engines import CTranslate2Peer, HuggingFacePeer, PeerEngine, add_source_lines
from .peers import Peer, find_peers

ALONE = 5  # a sentence alone takes about as long as 5 in a batch; used to estimate the time left
WARMUPS = 1


@dataclass(frozen=True)
class _Inputs:
    """What is timed.

    Attributes:
        models: teacher and student by role, without weights; `params`: their parameters.
        variants: in the order of the table.
        batches: for throughput; `single`: single sentences, for latency.
    """

    models: dict[str, LoadedModel]
    params: dict[str, int]
    variants: Sequence[Variant | Peer]
    batches: list[Sample]
    single: list[Sample]


@dataclass
class _Run:
    """A loaded model, its latencies (seconds) and its outputs; `load` loads it again."""

    variant: Variant | Peer
    load: Callable[[], Any]
    engine: Engine | PeerEngine
    progress: Progress
    latencies: list[list[float]] = field(default_factory=list)
    outputs: list[Sequence[Any]] = field(default_factory=list)


def benchmark_inference(problem: InferenceProblem, folder: Path) -> list[Row]:
    """Time all variants in one run, interleaved.

    Args:
        folder: an empty folder for the exported models.
    Returns:
        one row per variant, the teacher in fairseq first, peers last. Times are medians over the
        rounds, ratios medians of ratios within a round; p50 and p95 are latencies over sentences
        and rounds.
    Raises:
        ValueError: bad flags or files; models with different dictionaries; see `plan_variants` and
            `find_peers`.
    """
    problem.problems().raise_if_any()
    inputs = _prepare(problem, folder)
    progress = Progress("benchmark inference", _work(problem, inputs), "")
    runs = [_start(each, inputs, progress) for each in inputs.variants]
    rows = [_size(run, inputs) for run in runs]
    with progress:
        _time(runs, rows, inputs, problem)
    if problem.quality:
        samples, remove_bpe = inputs.batches, problem.remove_bpe
        labels = Labels(inputs.models["student"], problem.subset, samples, remove_bpe, ())
        rows = [row | _quality(run, labels) for run, row in zip(runs, rows, strict=True)]
    if problem.memory:
        del runs
        with progress:
            _add_memory(rows, inputs.variants, problem, progress)
    return rows


def _prepare(problem: InferenceProblem, folder: Path) -> _Inputs:
    """Check the models against each other and the data, and write the exported models."""
    models, planned = _plan(problem, folder)
    peers = find_peers(problem.peer, planned["student"][0].search, problem.device)
    for model in models.values():  # checks the teacher's length limit, keeps the student's batches
        batches = split_samples(model, problem.subset, problem.sentences, problem.batch)
    single = split_samples(models["student"], problem.subset, problem.latency_sentences, batch=1)
    for role, model in models.items():
        write_variants(model, planned[role])
    if peers:
        add_source_lines([*batches, *single], models["student"], problem.remove_bpe)
    params = {role: count_parameters(x.info.state["model"]) for role, x in models.items()}
    light = {role: replace(model, model=None) for role, model in models.items()}
    variants = [variant for each in planned.values() for variant in each]
    return _Inputs(light, params, [*variants, *peers], batches, single)


def _start(variant: Variant | Peer, inputs: _Inputs, progress: Progress) -> _Run:
    load: Callable[[], Any]
    if isinstance(variant, Peer):
        load = variant.load
    else:
        load = partial(variant.load, inputs.models[variant.role])
    return _Run(variant, load, load(), progress)


def _size(run: _Run, inputs: _Inputs) -> Row:
    one = run.variant
    params = one.params(run.engine) if isinstance(one, Peer) else inputs.params[one.role]
    return {"name": one.name, "params": params, "size_mb": one.size_mb}


def _quality(run: _Run, labels: Labels) -> Row:
    if isinstance(run.engine, CTranslate2Peer | HuggingFacePeer):
        texts = [text for batch in run.outputs for text in batch]
        return {"measure": "BLEU", "quality": labels.bleu(texts, run.engine.is_tokenized)}
    quality = labels.quality(run.outputs)
    return {"measure": quality.name, "quality": quality.score}


def _work(problem: InferenceProblem, inputs: _Inputs) -> int:
    """Return the size of the whole benchmark, in sentences of a batch."""
    sentences = sum(int(batch["nsentences"]) for batch in inputs.batches)
    rounds = problem.repeats + WARMUPS
    timed = rounds * (sentences + ALONE * len(inputs.single))
    return len(inputs.variants) * (timed + sentences * problem.memory)


def _plan(
    problem: InferenceProblem, folder: Path
) -> tuple[dict[str, LoadedModel], dict[str, list[Variant]]]:
    """Return both models and their variants, by role; write nothing."""
    settings = {"data": problem.data, "search": problem.search, "device": problem.device}
    models, planned = {}, {}
    for role, path in (("teacher", problem.teacher), ("student", problem.student)):
        models[role], planned[role] = plan_variants(role, path, folder, problem.backends, settings)
    _check_pair(models["teacher"], models["student"])
    return models, planned


def _check_pair(teacher: LoadedModel, student: LoadedModel) -> None:
    tasks = [model.info.task for model in (teacher, student)]
    if tasks[0] != tasks[1]:
        raise ValueError(f"--student: expected a model of --task {tasks[0]}, got {tasks[1]}")
    for side in ("source", "target"):
        pair = [getattr(model.task, f"{side}_dictionary") for model in (teacher, student)]
        difference = first_difference(*pair)
        if difference:
            raise ValueError(f"--teacher, --student: {side} dictionaries differ: {difference}")


def _time(runs: list[_Run], rows: list[Row], inputs: _Inputs, problem: InferenceProblem) -> None:
    """Add load_s, p50_ms, p95_ms, per_s and the ratios to the rows."""
    by_name = {run.variant.name: run for run in runs}
    loads = {n: r.load for n, r in by_name.items()}
    whole = {n: partial(_run_batches, r, inputs.batches) for n, r in by_name.items()}
    one = {n: partial(_one_by_one, r, inputs.single) for n, r in by_name.items()}
    load_times, times = (interleaved_times(x, problem.repeats, WARMUPS) for x in (loads, whole))
    interleaved_times(one, problem.repeats, WARMUPS)
    first = rows[0]["name"]
    count = _units(problem.task, inputs.batches)
    for row in rows:
        name = row["name"]
        latencies = [x for each in by_name[name].latencies[WARMUPS:] for x in each]
        row["load_s"] = statistics.median(load_times[name])
        row["p50_ms"], row["p95_ms"] = (1000 * _percentile(latencies, p) for p in (50, 95))
        row["per_s"] = count / statistics.median(times[name])
        row["seconds"] = times[name]
        row["times_teacher"] = median_ratio(times[first], times[name])
        own = f"{by_name[name].variant.role} {FAIRSEQ}"  # a peer has none
        row["times_fairseq"] = median_ratio(times[own], times[name]) if own in times else None


def _units(task: str, batches: Sequence[Sample]) -> int:
    """Return the number of sentences, or of tokens for a language model."""
    key = "ntokens" if task == LANGUAGE_MODELING else "nsentences"
    return sum(int(batch[key]) for batch in batches)


def _percentile(values: Sequence[float], percent: int) -> float:
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _run_batches(run: _Run, batches: Sequence[Sample]) -> None:
    run.outputs = []
    for batch in batches:
        run.outputs.append(run.engine.run(batch))
        run.progress.advance(int(batch["nsentences"]), run.variant.name)


def _one_by_one(run: _Run, single: Sequence[Sample]) -> None:
    seconds = []
    for sample in single:
        start = time.perf_counter()
        run.engine.run(sample)  # returns CPU values, so no device synchronization is needed
        seconds.append(time.perf_counter() - start)
        run.progress.advance(ALONE, run.variant.name)
    run.latencies.append(seconds)


def _add_memory(
    rows: list[Row],
    variants: Sequence[Variant | Peer],
    problem: InferenceProblem,
    progress: Progress,
) -> None:
    """Add peak_mb: memory to load the model and run every batch, without libraries and data.

    None where it is unknown: of peers and, on a GPU, for every library but PyTorch.
    """
    share = (progress.total - progress.done) / len(rows)
    for row, variant in zip(rows, variants, strict=True):
        row["peak_mb"] = None if isinstance(variant, Peer) else peak_mb(variant, problem)
        progress.advance(share, f"memory of {variant.name}")
