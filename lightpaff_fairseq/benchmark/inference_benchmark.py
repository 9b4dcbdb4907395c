"""`lightpaff benchmark inference`: teacher and student in fairseq and in serving formats."""

import logging
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..checkpoints.dictionaries import first_difference
from ..evaluation.model_rows import Row, count_parameters
from ..export.engines import Engine, Search
from ..export.export_quality import score_outputs
from ..export.loaded_model import LANGUAGE_MODELING, LoadedModel
from ..export.sample_batches import Sample, split_samples
from ..megabytes import MEGABYTE
from ..problems import Problems
from ..progress import Progress
from .inference_backends import FAIRSEQ, Variant, plan_variants, write_variants
from .inference_settings import InferenceSettings
from .peak_memory import peak_extra_bytes
from .timing import interleaved_times, median_ratio

ALONE = 5  # a sentence alone takes about as long as 5 in a batch; used to estimate the time left
WARMUPS = 1


@dataclass(frozen=True, kw_only=True)
class InferenceProblem(InferenceSettings):
    """Two models, their data, and the settings of the benchmark.

    Attributes:
        teacher, student: checkpoints; `data`: their dictionaries and the split `subset`.
        quality: also score the outputs.
    """

    teacher: Path
    student: Path
    data: Path
    subset: str
    search: Search
    quality: bool = True

    def problems(self) -> Problems:
        """Return the problems with the flags."""
        problems = super().problems()
        problems.unless(self.data.is_dir(), f"--data {self.data}: no such folder")
        return problems


@dataclass
class _Run:
    """A loaded variant, its latencies (seconds) and its outputs."""

    variant: Variant
    model: LoadedModel
    engine: Engine
    latencies: list[list[float]]
    outputs: list[Sequence[Any]]
    progress: Progress


def benchmark_inference(problem: InferenceProblem, folder: Path) -> list[Row]:
    """Time all variants in one run, interleaved.

    Args:
        folder: an empty folder for the exported models.
    Returns:
        one row per variant, the teacher in fairseq first. Times are medians over the rounds, ratios
        medians of ratios within a round; p50 and p95 are latencies over sentences and rounds.
    Raises:
        ValueError: bad flags or files; models with different dictionaries; see `plan_variants`.
    """
    problem.problems().raise_if_any()
    models, planned = _plan(problem, folder)
    for model in models.values():  # checks the teacher's length limit, keeps the student's batches
        batches = split_samples(model, problem.subset, problem.sentences, problem.batch)
    single = split_samples(models["student"], problem.subset, problem.latency_sentences, batch=1)
    variants: list[Variant] = []
    rows: list[Row] = []
    for role, model in models.items():
        write_variants(model, planned[role])
        variants += planned[role]
        params = count_parameters(model.info.state["model"])
        rows += [{"name": v.name, "params": params, "size_mb": v.size_mb} for v in planned[role]]
    light = {role: replace(model, model=None) for role, model in models.items()}
    student = light["student"]
    del models
    progress = Progress("benchmark inference", _work(problem, variants, batches, single), "")
    runs = [_Run(v, light[v.role], v.load(light[v.role]), [], [], progress) for v in variants]
    with progress:
        _time(runs, rows, batches, single, problem.repeats)
    for run, row in zip(runs, rows, strict=True):
        if problem.quality:
            quality = score_outputs(student, run.outputs, batches, problem.remove_bpe)
            row |= {"measure": quality.name, "quality": quality.score}
    if problem.memory:
        del runs
        with progress:
            _add_memory(rows, variants, problem, progress)
    return rows


def _work(
    problem: InferenceProblem,
    variants: Sequence[Variant],
    batches: Sequence[Sample],
    single: Sequence[Sample],
) -> int:
    """Return the size of the whole benchmark, in sentences of a batch."""
    sentences = sum(int(batch["nsentences"]) for batch in batches)
    rounds = problem.repeats + WARMUPS
    timed = rounds * (sentences + ALONE * len(single))
    return len(variants) * (timed + sentences * problem.memory)


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


def _time(
    runs: list[_Run], rows: list[Row], batches: list[Sample], single: list[Sample], repeats: int
) -> None:
    """Add load_s, p50_ms, p95_ms, per_s and the ratios to the rows."""
    by_name = {run.variant.name: run for run in runs}
    loads = {n: lambda r=r: r.variant.load(r.model) for n, r in by_name.items()}
    whole = {n: lambda r=r: _run_batches(r, batches) for n, r in by_name.items()}
    one = {n: lambda r=r: _one_by_one(r, single) for n, r in by_name.items()}
    load_times, times = (interleaved_times(x, repeats, WARMUPS) for x in (loads, whole))
    interleaved_times(one, repeats, WARMUPS)
    first = rows[0]["name"]
    count = _units(runs[0].variant.task, batches)
    for row in rows:
        name = row["name"]
        latencies = [x for each in by_name[name].latencies[WARMUPS:] for x in each]
        row["load_s"] = statistics.median(load_times[name])
        row["p50_ms"], row["p95_ms"] = (1000 * _percentile(latencies, p) for p in (50, 95))
        row["per_s"] = count / statistics.median(times[name])
        row["seconds"] = times[name]
        row["times_teacher"] = median_ratio(times[first], times[name])
        own = f"{by_name[name].variant.role} {FAIRSEQ}"
        row["times_fairseq"] = median_ratio(times[own], times[name])


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
    variants: Sequence[Variant],
    problem: InferenceProblem,
    progress: Progress,
) -> None:
    """Add peak_mb: memory to load the model and run every batch, without libraries and data.

    None where it is unknown: on a GPU, for every library but PyTorch.
    """
    share = (progress.total - progress.done) / len(rows)
    for row, variant in zip(rows, variants, strict=True):
        known = problem.device == "cpu" or variant.folder is None
        settings = variant, problem
        peak = peak_extra_bytes(_first_run, settings, "", problem.device) if known else None
        row["peak_mb"] = None if peak is None else peak / MEGABYTE
        progress.advance(share, f"memory of {variant.name}")


def _first_run(
    settings: tuple[Variant, InferenceProblem], _: str, small: bool
) -> Callable[[], Any]:
    """Set up the first run of a variant (a `peak_memory.Factory`)."""
    logging.getLogger().setLevel(logging.WARNING)  # a fresh process: fairseq set it to DEBUG
    variant, problem = settings
    opened = variant.open()
    count = 1 if small else problem.sentences
    batches = split_samples(opened, problem.subset, count, problem.batch)
    model = replace(opened, model=None)
    if small:
        engine = variant.load(model)
        return lambda: engine.run(batches[0])

    def run() -> None:
        engine = variant.load(model)
        for batch in batches:
            engine.run(batch)

    return run
