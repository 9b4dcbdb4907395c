"""Export a student: check, write, compare with fairseq, move to --out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..checkpoints.output_folder import new_folder
from ..evaluation.fairseq_command import read_lines
from ..huggingface.hf_parity import Comparison
from ..problems import Problems
from .companion_files import LONGEST, write_companions
from .engines import Engine, Search, fairseq_engine, limited
from .export_formats import FORMATS
from .export_parity import SEARCH, Parity, check_difference, compare
from .export_quality import Labels, Quality
from .export_request import ExportReport, ExportRequest, codec_of, load_checked
from .loaded_model import TRANSLATION, LoadedModel
from .sample_batches import NoSplitError, Sample, random_samples, split_samples
from .script_parity import check_script
from .search_choice import AUTO, FLOAT, SHORTLIST, beams_to_measure, choose, measure
from .shortlist_export import BuiltShortlist, build, measure_shortlist

SENTENCES = 16  # for parity
SPLIT = "valid"  # without --gen-subset


def export(request: ExportRequest) -> ExportReport:
    """Export a student.

    Raises:
        ValueError: bad flags or files, a model that the format does not support, or an export that
            disagrees with fairseq or loses more than `max_drop`.
    """
    student = load_checked(request)
    shortlist = build(request, student)
    with new_folder(request.out) as folder:
        if request.to == "hf":
            report = _write_huggingface(request, student, folder)
        else:
            report = _write_and_compare(request, student, folder, shortlist)
        write_companions(request, student, folder, report)
        if request.to != "hf":
            _check_script(request, student, folder, report)
    return report


def _check_script(
    request: ExportRequest, student: LoadedModel, folder: Path, report: ExportReport
) -> None:
    """Compare use.py with the exported model, starting from text."""
    search = Search(report.beam, longest=LONGEST, shortlist=True)
    _, engine = _engines(request, student, folder, search)
    samples, _ = _parity_samples(request, student)
    check_script(student, folder, codec_of(request, student), engine, samples)


def _write_and_compare(
    request: ExportRequest, student: LoadedModel, folder: Path, shortlist: BuiltShortlist | None
) -> ExportReport:
    """Write float32 weights and check their parity; then what is served, and check the drop."""
    module = FORMATS[request.to].load()
    is_searched = (request.to, student.info.task) == ("ctranslate2", TRANSLATION)
    labels = _labels(request, student, is_searched)
    module.write(student, folder, None)
    engines = _engines(request, student, folder, SEARCH)
    parity = compare(student, *engines, *_parity_samples(request, student))
    if labels is None:
        return ExportReport(parity, beam=beams_to_measure(request.beam)[-1])
    del engines  # they may keep the file open that is replaced
    if is_searched:
        return _measure(request, labels, folder, ExportReport(parity), shortlist)
    module.write(student, folder, request.quantization)
    pair = _engines(request, student, folder, Search())
    before, after = (labels.quality_of(engine) for engine in pair)
    _check_drop(request, before, after)
    return ExportReport(parity, before, after, labels.basis)


def _measure(
    request: ExportRequest,
    labels: Labels,
    folder: Path,
    report: ExportReport,
    shortlist: BuiltShortlist | None,
) -> ExportReport:
    """Write what is served, measure the beam sizes, choose one, and check its drop."""
    student, beams = labels.student, beams_to_measure(request.beam)
    loaded = _write_variants(request, student, folder, shortlist)
    engines = {
        (name, beam): engine.searching(limited(_search(name, beam), student))
        for name, engine in loaded.items()
        for beam in beams
    }
    rows = tuple(measure(engines, labels.samples, labels.quality))
    *_, served = loaded
    candidates = [row for row in rows if row.weights == served]
    report = replace(report, rows=rows, basis=labels.basis)
    if served == FLOAT:
        reference = Quality("BLEU", candidates[-1].bleu)
        return replace(report, beam=choose(candidates, reference, request.max_drop).beam)
    before = labels.quality_of(fairseq_engine(student, limited(Search(beams[-1]), student), "cpu"))
    row = choose(candidates, before, request.max_drop)
    after = Quality("BLEU", row.bleu)
    more = SHORTLIST if shortlist else ""
    _check_drop(request, before, after, more)
    report = replace(report, before=before, after=after, beam=row.beam)
    if shortlist is None:
        return report
    pair = engines[request.quantization or FLOAT, row.beam], engines[served, row.beam]
    measured = measure_shortlist(shortlist, labels, request.sentences, pair)
    for each in measured.scores:
        _check_drop(request, before, each.quality, f"{more}, batches of {each.batch}")
    return replace(report, shortlist=measured)


def _write_variants(
    request: ExportRequest, student: LoadedModel, folder: Path, shortlist: BuiltShortlist | None
) -> dict[str, Any]:
    """Write what is served; return the loaded models to measure, what is served the last."""
    module = FORMATS[request.to].load()
    weights = request.quantization or FLOAT
    loaded = {FLOAT: module.engine(student, folder, SEARCH, "cpu")}
    if request.quantization:
        module.write(student, folder, request.quantization)
    if shortlist:
        shortlist.shortlist.write(folder)
    if request.quantization or shortlist:
        loaded[weights] = module.engine(student, folder, SEARCH, "cpu")
    if shortlist:
        loaded[weights + SHORTLIST] = loaded[weights]
    return loaded


def _search(name: str, beam: int) -> Search:
    return Search(beam, scores=False, shortlist=name.endswith(SHORTLIST))


def _labels(request: ExportRequest, student: LoadedModel, is_searched: bool) -> Labels | None:
    """Return the samples to score quantized weights and beam sizes on; None: nothing is scored."""
    chooses_beam = is_searched and request.beam == AUTO
    if not (request.quantization or request.shortlist or chooses_beam):
        return None
    subset = request.subset or SPLIT
    try:
        samples = split_samples(student, subset, request.sentences, batch=32)
    except NoSplitError:
        if request.quantization or request.subset or request.references or request.shortlist:
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


def _check_drop(request: ExportRequest, before: Quality, after: Quality, more: str = "") -> None:
    """Raise ValueError if the score drops too much; `more`: what it is of, besides the weights."""
    drop = before.drop_to(after)
    if not drop <= request.max_drop:
        unit = " %" if before.name == "ppl" else ""
        raise ValueError(
            f"--max-drop {request.max_drop:g}{unit}: got a drop of {drop:.2f}{unit}: {before.name} "
            f"{before.score:.2f} in fairseq, {after.score:.2f} with "
            f"{request.quantization or FLOAT} weights{more}; nothing was exported"
        )


def _write_huggingface(request: ExportRequest, student: LoadedModel, folder: Path) -> ExportReport:
    """Write a Hugging Face folder; the inputs of its parity check are texts of its own."""
    module: Any = FORMATS["hf"].load()
    path, data = student.info.path, student.data
    module.write(path, data, folder, student.info.pooling, request.tokenizer)
    compared: Comparison = module.compare_back(path, data, folder, request.tokenizer)
    check_difference(student.info.named, compared.difference, compared.inputs)
    return ExportReport(Parity(0, compared.inputs, compared.difference, None))
