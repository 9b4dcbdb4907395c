"""The flags of `lightpaff export`, their checks, and the report of an export."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..checkpoints.output_folder import OutputFolder
from ..data_shards import data_shards, shards_problem
from ..embedding_poolings import POOLINGS
from ..fairseq_flags import post_process_problem
from ..flags import Range, at_least, flag, range_problems
from ..huggingface.conversion import ENCODING
from ..huggingface.tokenizers import pieces_problem
from ..problems import Problems
from .export_formats import FORMATS, model_problem, package_problem, quantization_problem
from .export_parity import Parity
from .export_quality import SCORED_TASKS, Quality
from .loaded_model import (
    TRANSLATION,
    LoadedModel,
    as_embedding,
    data_folder,
    inspect_checkpoint,
    load_model,
)
from .search_choice import AUTO, REFERENCE, SearchRow, beam_problem
from .shortlist_report import ShortlistReport
from .text_codec import TextCodec, folder_codec, pieces_codec
from .word_alignment import aligner_problem

RECORD = "export.json"  # in every exported folder
TARGETS, FREQUENT = 50, 100  # of a shortlist
QUANTIZATIONS = sorted({q for each in FORMATS.values() for q in each.quantizations})


@dataclass(frozen=True)
class ExportRequest:
    """The checkpoint to export, the format, and the settings of the comparison with fairseq."""

    path: Path = flag("fairseq checkpoint", metavar="FILE")
    to: str = flag("format", choices=tuple(FORMATS))
    out: Path = flag("folder to write", metavar="DIR")
    force: bool = flag("replace an exported folder (default: refuse)", False)
    data: Path | None = flag(
        "folder with dict.*.txt and splits (default: the data of the training run)",
        None,
        metavar="DIR",
    )
    quantization: str | None = flag(
        "quantization of the weights (default: float32)", None, choices=QUANTIZATIONS
    )
    subset: str | None = flag(
        "split of --data to compare on (default: valid; without one, random tokens)",
        None,
        name="--gen-subset",
        metavar="SPLIT",
    )
    sentences: int = flag(
        "sentences of the split to score quantized weights, the shortlist and beam sizes on; 0 = "
        "all (default: %(default)s)",
        300,
        metavar="N",
        expected=at_least(0),
    )
    max_drop: float = flag(
        "maximum drop from quantization and the shortlist, and from the beam that --beam auto "
        "chooses: points of BLEU, accuracy or Pearson's correlation (0 to 100), or percent of "
        "perplexity (default: %(default)s)",
        0.5,
        metavar="X",
        expected=Range("0 or more", 0, 1e12),
    )
    beam: str = flag(
        "default beam size of use.py, for ctranslate2: a number, or auto: the fastest of 1, 2 and "
        "5 that loses at most --max-drop BLEU against the checkpoint in fairseq with beam 5 "
        "(default: %(default)s)",
        AUTO,
        metavar="N",
    )
    remove_bpe: str | None = flag(
        "for BLEU, as in fairseq; none = off (default: guessed from the dictionary)",
        None,
        metavar="KIND",
    )
    references: tuple[Path, ...] = flag(
        "for BLEU, raw text of the split, one line per sentence; with --sentences 0, the score is "
        "that of lightpaff evaluate (default: the binarized target)",
        (),
        nargs="+",
        metavar="FILE",
    )
    sentencepiece_model: Path | None = flag(
        "sentencepiece model to copy into the folder, for its use.py (default: none)",
        None,
        metavar="FILE",
    )
    tokenizer: Path | None = flag(
        "folder of lightpaff convert or trim-vocab with the tokenizer of the text, for onnx and hf "
        "(default: that of the checkpoint or of --data, if it is one; otherwise text is tokens)",
        None,
        metavar="DIR",
    )
    pooling: str | None = flag(
        "export sentence embeddings of a roberta, the mean of all tokens' outputs or the first "
        "token's, normalized, instead of its head (default: that of --criterion kd_embed)",
        None,
        choices=POOLINGS,
    )
    shortlist: Path | None = flag(
        "translate faster with a lexical shortlist, built from the training pairs of this folder "
        "(several: a:b): --data, or what seq-kd wrote (ctranslate2 only; default: none)",
        None,
        metavar="DIR",
    )
    shortlist_targets: int | None = flag(
        "maximum target tokens that the shortlist allows per source token, and in addition per "
        f"pair of adjacent source tokens (default: {TARGETS})",
        None,
        metavar="K",
        expected=at_least(1),
    )
    shortlist_frequent: int | None = flag(
        f"most frequent target tokens, which the shortlist always allows (default: {FREQUENT})",
        None,
        metavar="N",
        expected=at_least(1),
    )


@dataclass(frozen=True)
class ExportReport:
    """The parity check, the scores in fairseq and of the exported weights, and the shortlist.

    Attributes:
        before, after: scores without a shortlist, where any are compared.
        basis: what the scores are of, see `basis_of`.
        rows: every measured search of a translation model; `beam`: the size to serve it with.
    """

    parity: Parity
    before: Quality | None = None
    after: Quality | None = None
    basis: str = ""
    rows: tuple[SearchRow, ...] = ()
    beam: int = REFERENCE
    shortlist: ShortlistReport | None = None


def load_checked(request: ExportRequest) -> LoadedModel:
    """Check flags and files, and load the student.

    Raises:
        ValueError: lists all problems with flags and files, or with the checkpoint.
    """
    pieces, pairs = request.sentencepiece_model, request.shortlist
    inputs = [request.path, request.data, pieces, request.tokenizer]
    read = [path for path in inputs if path] + [Path(x) for x in data_shards(pairs) if pairs]
    problems = Problems(
        [
            package_problem(request.to),
            quantization_problem(request.to, request.quantization),
            post_process_problem("--remove-bpe", request.remove_bpe),
            beam_problem(request.beam),
            OutputFolder(request.out, "--out", (RECORD,), read).problem(request.force),
            *range_problems(request),
            *_shortlist_problems(request),
            *_tokenizer_problems(request),
        ]
    )
    for path in request.references:
        problems.unless(path.is_file(), f"--references {path}: no such file")
    if pieces is not None:
        problems.unless(pieces.is_file(), f"--sentencepiece-model {pieces}: no such file")
    problems.unless(
        request.path.is_file(),
        f"--path {request.path}: no such file (expected a fairseq checkpoint)",
    )
    problems.raise_if_any()
    student = _load(request)
    if pieces is not None:
        problem = pieces_problem(pieces, student.task.source_dictionary.symbols)
        Problems([problem]).raise_if_any(f"--sentencepiece-model {pieces}: ")
    return student


def _tokenizer_problems(request: ExportRequest) -> Iterator[str]:
    """Yield a message for every problem with the flag of a tokenizer."""
    folder = request.tokenizer
    if folder is None:
        return
    if not (folder / ENCODING).is_file():
        yield f"--tokenizer {folder}: expected a folder of lightpaff convert, got no {ENCODING}"
    if request.to == "ctranslate2":
        yield f"--tokenizer {folder}: expected --to onnx or hf, got --to ctranslate2"
    if request.sentencepiece_model is not None:
        yield "--tokenizer, --sentencepiece-model: expected one of them, got both"


def codec_of(request: ExportRequest, student: LoadedModel) -> TextCodec:
    """Return the tokenizer of the exported folder's use.py."""
    if request.sentencepiece_model is not None:
        return pieces_codec(request.sentencepiece_model)
    places = [request.tokenizer] if request.tokenizer else [request.path.parent, student.data]
    folders = [x for x in places if request.to == "onnx" and (x / ENCODING).is_file()]
    return folder_codec(folders[0]) if folders else TextCodec()


def _shortlist_problems(request: ExportRequest) -> Iterator[str]:
    """Yield a message for every problem with the flags of a shortlist, but not with its data."""
    if request.shortlist is None:
        for name in ("targets", "frequent"):
            value = getattr(request, f"shortlist_{name}")
            if value is not None:
                yield f"--shortlist-{name} {value}: expected --shortlist, which it is for"
        return
    named = f"--shortlist {request.shortlist}"
    if request.to != "ctranslate2":
        yield f"{named}: expected --to ctranslate2, which can use it, got --to {request.to}"
    problems = (shards_problem("--shortlist", request.shortlist), aligner_problem(named))
    yield from filter(None, problems)


def _load(request: ExportRequest) -> LoadedModel:
    info = as_embedding(inspect_checkpoint(request.path), request.pooling)
    problems = Problems([model_problem(request.to, info)])
    problems.unless(
        request.to != "hf" or not request.subset,
        f"--gen-subset {request.subset}: --to hf compares on texts of its own; leave it out",
    )
    problems.unless(
        not request.quantization or info.task in SCORED_TASKS,
        f"--quantization {request.quantization}: expected a --task of {', '.join(SCORED_TASKS)}, "
        f"whose quality can be compared, got {info.task}",
    )
    problems.unless(
        request.shortlist is None or info.task == TRANSLATION,
        f"--shortlist {request.shortlist}: expected a translation model, got one of {info.task}",
    )
    problems.unless(
        request.beam == AUTO or (request.to, info.task) == ("ctranslate2", TRANSLATION),
        f"--beam {request.beam}: expected --to ctranslate2 of a translation model, got --to "
        f"{request.to} of one of {info.task}",
    )
    problems.unless(
        not request.references or (request.to, info.task) == ("ctranslate2", TRANSLATION),
        f"--references: expected --to ctranslate2 of a translation model, got --to {request.to} of "
        f"one of {info.task}; nothing else is scored against text",
    )
    problems.raise_if_any()
    return load_model(info, data_folder(info, request.data))
