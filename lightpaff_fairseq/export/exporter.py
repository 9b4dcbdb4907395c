"""Export a student: check, write, compare with fairseq, move to --out."""

from pathlib import Path
from typing import Any

from ..checkpoints.output_folder import new_folder
from ..evaluation.fairseq_command import read_lines
from ..problems import Problems
from .companion_files import LONGEST, write_companions
from .engines import Engine, Search, fairseq_engine, limited
from .export_formats import FORMATS
from .export_parity import SEARCH, Parity, check_difference, compare
from .export_quality import Quality, basis_of, score_outputs
from .export_request import ExportReport, ExportRequest, load_checked
from .loaded_model import LoadedModel
from .sample_batches import NoSplitError, Sample, random_samples, split_samples
from .script_parity import check_script

SENTENCES = 16  # for parity
SPLIT = "valid"  # without --gen-subset


def export(request: ExportRequest) -> ExportReport:
    """Export a student.

    Raises:
        ValueError: bad flags or files, a model that the format does not support, or an export that
            disagrees with fairseq or loses more than `max_drop`.
    """
    student = load_checked(request)
    with new_folder(request.out) as folder:
        if request.to == "hf":
            report = _write_huggingface(student, folder)
        else:
            report = _write_and_compare(request, student, folder)
        write_companions(request, student, folder, report)
        if request.to != "hf":
            _check_script(request, student, folder)
    return report


def _check_script(request: ExportRequest, student: LoadedModel, folder: Path) -> None:
    """Compare use.py with the exported model, starting from text."""
    _, engine = _engines(request, student, folder, Search(longest=LONGEST))
    samples, _ = _parity_samples(request, student)
    check_script(student, folder, request.sentencepiece_model, engine, samples)


def _write_and_compare(request: ExportRequest, student: LoadedModel, folder: Path) -> ExportReport:
    """Write float32 weights and check their parity, then quantized weights and check the drop."""
    module = FORMATS[request.to].load()
    labeled: list[Sample] = []
    references: list[list[str]] = []
    subset = request.subset or SPLIT
    if request.quantization:
        labeled = split_samples(student, subset, request.sentences, batch=32)
        references = _references(request, len(student.task.dataset(subset)))
    module.write(student, folder, None)
    engines = _engines(request, student, folder, SEARCH)
    parity = compare(student, *engines, *_parity_samples(request, student))
    del engines  # they may keep the file open that is replaced
    if not request.quantization:
        return ExportReport(parity)
    module.write(student, folder, request.quantization)
    before, after = (
        score_outputs(
            student, [engine.run(x) for x in labeled], labeled, request.remove_bpe, references
        )
        for engine in _engines(request, student, folder, Search())
    )
    _check_drop(request, before, after)
    count = sum(int(sample["nsentences"]) for sample in labeled)
    return ExportReport(parity, before, after, basis_of(student, subset, count, references))


def _references(request: ExportRequest, count: int) -> list[list[str]]:
    """Return the lines of every file of --references.

    Raises:
        ValueError: a file has not as many lines as the split has sentences, or is not UTF-8.
    """
    references = [read_lines(path) for path in request.references]
    problems = Problems()
    for path, lines in zip(request.references, references, strict=True):
        problems.unless(
            len(lines) == count,
            f"--references {path}: expected {count} lines, one per sentence of the split, got "
            f"{len(lines)}",
        )
    problems.raise_if_any()
    return references


def _engines(
    request: ExportRequest, student: LoadedModel, folder: Path, search: Search
) -> tuple[Engine, Engine]:
    """Return fairseq's engine and the exported one."""
    search = limited(search, student)
    exported: Engine = FORMATS[request.to].load().engine(student, folder, search, "cpu")
    return fairseq_engine(student, search, "cpu"), exported


def _parity_samples(request: ExportRequest, student: LoadedModel) -> tuple[list[Sample], str]:
    """Return sentences and their description: of the split, or random ones without a split."""
    subset = request.subset or SPLIT
    try:
        return split_samples(student, subset, SENTENCES), f"split {subset}"
    except NoSplitError:
        if request.subset:
            raise
        return random_samples(student, SENTENCES), "random tokens"


def _check_drop(request: ExportRequest, before: Quality, after: Quality) -> None:
    drop = before.drop_to(after)
    if not drop <= request.max_drop:
        unit = " %" if before.name == "ppl" else ""
        raise ValueError(
            f"--max-drop {request.max_drop:g}{unit}: got a drop of {drop:.2f}{unit}: {before.name} "
            f"{before.score:.2f} in fairseq, {after.score:.2f} with {request.quantization} "
            "weights; nothing was exported"
        )


def _write_huggingface(student: LoadedModel, folder: Path) -> ExportReport:
    """Write a Hugging Face folder; its parity check has samples of its own."""
    module: Any = FORMATS["hf"].load()
    path, data = student.info.path, student.data
    module.write(path, data, folder)
    largest = float(module.largest_difference(path, data, folder))
    inputs = "samples of its own"
    check_difference(student.info.named, largest, inputs)
    return ExportReport(Parity(0, inputs, largest, None))
