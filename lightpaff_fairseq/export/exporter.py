"""Exporting: checks first, then write, compare with fairseq, and put in place."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..checkpoints.output_folder import OutputFolder, new_folder
from ..huggingface.tokenizers import pieces_problem
from .companion_files import RECORD, write_card
from .engines import Engine, Search, fairseq_engine, limited
from .export_formats import FORMATS, package_problem, quantization_problem, student_problem
from .export_parity import SEARCH, Parity, check_difference, compare
from .export_quality import MEASURED, Quality, measure
from .export_request import ExportReport, ExportRequest
from .loaded_model import LoadedModel, data_folder, inspect_checkpoint, load_model
from .sample_batches import NoSplitError, Sample, random_samples, split_samples

SENTENCES = 16  # for parity
SPLIT = "valid"  # unless another is asked for


def export(request: ExportRequest) -> ExportReport:
    """Exports a student.

    Raises:
        ValueError: bad flags or files (all at once), a model that the format does not take, one
            that computes something else, or one that loses more than `max_drop`.
    """
    student = prepare(request)
    with new_folder(request.out) as folder:
        if request.to == "hf":
            report = _huggingface(student, folder)
        else:
            report = _write_and_compare(request, student, folder)
        write_card(request, student, folder, report)
    return report


def prepare(request: ExportRequest) -> LoadedModel:
    """Checks everything that can be checked without work, and loads the student."""
    read = [x for x in (request.path, request.data, request.sentencepiece_model) if x is not None]
    problems: list[str | None] = [
        package_problem(request.to),
        quantization_problem(request.to, request.quantization),
        OutputFolder(request.out, "--out", (RECORD,), read).problem(request.force),
    ]
    if request.sentences < 0:
        problems.append(f"--sentences: expected 0 (all) or more, found {request.sentences}")
    if not request.max_drop >= 0:
        problems.append(f"--max-drop: expected 0 or more, found {request.max_drop}")
    model = request.sentencepiece_model
    if model is not None and not model.is_file():
        problems.append(f"--sentencepiece-model {model}: no such file")
    if not request.path.is_file():
        problems.append(f"--path {request.path}: no such file (expected a fairseq checkpoint)")
    _raise(problems)
    info = inspect_checkpoint(request.path)
    problems = [student_problem(request.to, info)]
    if request.to == "hf" and request.subset:
        problems.append(
            f"--gen-subset {request.subset}: --to hf compares on random symbols; leave it out"
        )
    if request.quantization and info.task not in MEASURED:
        text = f"a model of --task {info.task} has no score that could be compared"
        problems.append(f"--quantization {request.quantization}: {text}")
    _raise(problems)
    student = load_model(info, data_folder(info, request.data))
    if model is not None:
        problem = pieces_problem(model, student.task.source_dictionary.symbols)
        _raise([problem and f"--sentencepiece-model {model}: {problem}"])
    return student


def _raise(problems: Sequence[str | None]) -> None:
    found = [problem for problem in problems if problem]
    if found:
        raise ValueError("; ".join(found))


def _write_and_compare(request: ExportRequest, student: LoadedModel, folder: Path) -> ExportReport:
    """Float32 first, whose parity shows that the conversion is right; then what was asked for."""
    module = FORMATS[request.to].load()
    labeled: list[Sample] = []
    if request.quantization:
        subset = request.subset or SPLIT
        labeled = split_samples(student, subset, request.sentences, batch=32)
    module.write(student, folder, None)
    engines = _engines(request, student, folder, SEARCH)
    parity = compare(student, *engines, *_parity_samples(request, student))
    del engines  # the file is replaced
    if not request.quantization:
        return ExportReport(parity)
    module.write(student, folder, request.quantization)
    before, after = (
        measure(student, engine, labeled, request.remove_bpe)
        for engine in _engines(request, student, folder, Search())
    )
    _check_drop(request, before, after)
    return ExportReport(parity, before, after)


def _engines(
    request: ExportRequest, student: LoadedModel, folder: Path, search: Search
) -> tuple[Engine, Engine]:
    """fairseq's and the exported one."""
    search = limited(search, student)
    exported: Engine = FORMATS[request.to].load().engine(student, folder, search, "cpu")
    return fairseq_engine(student, search, "cpu"), exported


def _parity_samples(request: ExportRequest, student: LoadedModel) -> tuple[list[Sample], str]:
    """Sentences of the split; if none was asked for or found, random ones, which is reported."""
    subset = request.subset or SPLIT
    try:
        samples = split_samples(student, subset, SENTENCES)
    except NoSplitError:
        if request.subset:
            raise
        return random_samples(student, SENTENCES), "random symbols"
    return samples, f"split {subset}"


def _check_drop(request: ExportRequest, before: Quality, after: Quality) -> None:
    drop = before.drop_to(after)
    if not drop <= request.max_drop:
        unit = " %" if before.name == "ppl" else ""
        raise ValueError(
            f"--max-drop {request.max_drop:g}{unit}: {before.name} goes from {before.score:.2f} in "
            f"fairseq to {after.score:.2f} with {request.quantization} weights (a drop of "
            f"{drop:.2f}{unit}); nothing was exported"
        )


def _huggingface(student: LoadedModel, folder: Path) -> ExportReport:
    """transformers' format, which brings its own comparison."""
    module: Any = FORMATS["hf"].load()
    path, data = student.info.path, student.data
    module.write(path, data, folder)
    largest = float(module.largest_difference(path, data, folder))
    inputs = "samples of its own"
    check_difference(student.info.named, largest, inputs)
    return ExportReport(Parity(0, inputs, largest, None))
