"""Export a student: check, write, compare with fairseq, move to --out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..checkpoints.output_folder import new_folder
from ..evaluation.fairseq_command import read_lines
from ..problems import Problems
from .companion_files import LONGEST, write_companions
from .engines import Engine, Search, fairseq_engine, limited
from .export_formats import FORMATS
from .export_parity import SEARCH, Parity, check_difference, compare
from .export_quality import Labels, Quality
from .export_request import ExportReport, ExportRequest, load_checked
from .loaded_model import TRANSLATION, LoadedModel
from .sample_batches import NoSplitError, Sample, random_samples, split_samples
from .script_parity import check_script
from .search_choice import FLOAT, beams_to_measure, choose, measure

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
            _check_script(request, student, folder, report)
    return report


def _check_script(
    request: ExportRequest, student: LoadedModel, folder: Path, report: ExportReport
) -> None:
    """Compare use.py with the exported model, starting from text."""
    search = Search(report.beam, longest=LONGEST)
    _, engine = _engines(request, student, folder, search)
    samples, _ = _parity_samples(request, student)
    check_script(student, folder, request.sentencepiece_model, engine, samples)


def _write_and_compare(request: ExportRequest, student: LoadedModel, folder: Path) -> ExportReport:
    """Write float32 weights and check their parity, then quantized weights and check the drop."""
    module = FORMATS[request.to].load()
    is_searched = (request.to, student.info.task) == ("ctranslate2", TRANSLATION)
    labels = _labels(request, student, is_searched)
    module.write(student, folder, None)
    engines = _engines(request, student, folder, SEARCH)
    parity = compare(student, *engines, *_parity_samples(request, student))
    if labels is None:
        return ExportReport(parity, beam=beams_to_measure(request.beam)[-1])
    if is_searched:
        return _measure(request, labels, folder, ExportReport(parity), engines[1])
    del engines  # they may keep the file open that is replaced
    module.write(student, folder, request.quantization)
    pair = _engines(request, student, folder, Search())
    before, after = (labels.quality_of(engine) for engine in pair)
    _check_drop(request, before, after)
    return ExportReport(parity, before, after, labels.basis)


def _measure(
    request: ExportRequest, labels: Labels, folder: Path, report: ExportReport, exact: Any
) -> ExportReport:
    """Write quantized weights, measure the beam sizes, choose one, and check its drop.

    Args:
        exact: the exported model with float weights, loaded.
    """
    student, loaded = labels.student, {FLOAT: exact}
    beams = beams_to_measure(request.beam)
    served = request.quantization or FLOAT
    if request.quantization:
        module = FORMATS[request.to].load()
        module.write(student, folder, request.quantization)
        loaded[served] = module.engine(student, folder, SEARCH, "cpu")
    engines = {
        (weights, beam): engine.searching(limited(Search(beam, scores=False), student))
        for weights, engine in loaded.items()
        for beam in beams
    }
    rows = tuple(measure(engines, labels.samples, labels.quality))
    by_key = {(row.weights, row.beam): row for row in rows}
    candidates = [row for row in rows if row.weights == served]
    report = replace(report, rows=rows, basis=labels.basis)
    if not request.quantization:
        reference = Quality("BLEU", by_key[FLOAT, beams[-1]].bleu)
        return replace(report, beam=choose(candidates, reference, request.max_drop).beam)
    before = labels.quality_of(fairseq_engine(student, limited(Search(beams[-1]), student), "cpu"))
    row = choose(candidates, before, request.max_drop)
    after = Quality("BLEU", row.bleu)
    _check_drop(request, before, after)
    return replace(report, before=before, after=after, beam=row.beam)


def _labels(request: ExportRequest, student: LoadedModel, is_searched: bool) -> Labels | None:
    """Return the samples to score quantized weights and beam sizes on; None: nothing is scored."""
    if not (request.quantization or is_searched):
        return None
    subset = request.subset or SPLIT
    try:
        samples = split_samples(student, subset, request.sentences, batch=32)
    except NoSplitError:
        if request.quantization or request.subset or request.references:
            raise
        return None  # compared on random tokens, which have no quality
    references = _references(request, len(student.task.dataset(subset)))
    return Labels(student, subset, samples, request.remove_bpe, references)


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
