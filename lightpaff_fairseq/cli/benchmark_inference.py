"""`lightpaff benchmark inference`: teacher and student in fairseq and in export formats."""

import argparse
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..benchmark.benchmark_run import Output, describe
from ..benchmark.inference_benchmark import benchmark_inference
from ..benchmark.inference_settings import (
    InferenceProblem,
    InferenceSettings,
    RandomModels,
    TrainedModels,
    check_models,
)
from ..benchmark.inference_table import inference_table
from ..benchmark.random_models import write_random_data, write_random_model
from ..benchmark.synthetic_data import SPLIT
from ..export.engines import Search
from ..export.loaded_model import LANGUAGE_MODELING, inspect_checkpoint
from ..flags import add_flags, parse_flags


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the measurement to its parser."""
    parser.description = (
        "Export both models, compare the exports with fairseq, and print parameters, size, load "
        "time, latency of single sentences, throughput, peak memory and quality (BLEU against the "
        "split's own target). All variants are timed in one run, interleaved. Translation models "
        "run beam search, language models score text. The models are trained (--teacher, "
        "--student, --data; --peer adds others, of any origin) or, with --random, untrained ones "
        "of any size on random text."
    )
    add_flags(parser, InferenceSettings)
    add_flags(parser, Output)
    add_flags(parser.add_argument_group("trained models"), TrainedModels)
    add_flags(parser.add_argument_group("random models"), RandomModels)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table and write the JSON file.

    Raises:
        ValueError: a flag's value, a file or a model cannot be used.
    """
    output = parse_flags(args, Output)
    settings = parse_flags(args, InferenceSettings)
    trained, random = parse_flags(args, TrainedModels), parse_flags(args, RandomModels)
    output.start()
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    check_models(settings, trained, random)
    with TemporaryDirectory() as folder:
        exports = Path(folder) / "exports"
        exports.mkdir()
        if random.random:
            problem = _random_problem(settings, random, Path(folder))
        else:
            search = Search(beam=settings.beam, scores=False)
            problem = InferenceProblem(**vars(settings), **vars(trained), search=search)
        for flag, path in (("--student", problem.student), ("--teacher", problem.teacher)):
            task = inspect_checkpoint(path, flag).task
            if task != problem.task:
                raise ValueError(
                    f"--task {problem.task}: expected {task}, the task of {flag} {path}"
                )
        rows = benchmark_inference(problem, exports)
    report = _describe(problem, random)
    print(inference_table(report, rows))
    output.write(report | {"rows": rows})
    return 0


def _describe(problem: InferenceProblem, random: RandomModels) -> dict[str, Any]:
    unit = "blocks of text" if problem.task == LANGUAGE_MODELING else "sentences"
    text = f"{problem.sentences or 'all'} {unit} of {problem.data}, {problem.subset}"
    if random.random:
        text = (
            f"teacher {random.teacher_arch}, student {random.student_arch}, vocabulary "
            f"{random.vocab}, {problem.sentences} random {unit} of {random.length} tokens"
        )
    paths = {name: str(getattr(problem, name)) for name in ("teacher", "student", "data")}
    return {**describe(problem), "asked": text, "single": unit, **paths}


def _random_problem(
    settings: InferenceSettings, random: RandomModels, folder: Path
) -> InferenceProblem:
    """Write untrained models; their outputs get a fixed length, since they rarely generate eos."""
    data = folder / "data"
    data.mkdir()
    sizes = {"vocab": random.vocab, "sentences": settings.sentences, "length": random.length}
    write_random_data(data, settings.task, sizes)
    teacher, student = (
        write_random_model(
            folder / f"{name}.pt", data, settings.task, f"--{name}-arch", words or ""
        )
        for name, words in (("teacher", random.teacher_arch), ("student", random.student_arch))
    )
    return InferenceProblem(
        **vars(settings),
        teacher=teacher,
        student=student,
        data=data,
        subset=SPLIT,
        search=Search(settings.beam, random.length, random.length, scores=False),
        quality=False,
    )
