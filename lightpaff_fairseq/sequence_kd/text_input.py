"""Binarize the files of --text into a temporary data folder, whose only sources they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary

from ..checkpoints.building import writable
from ..checkpoints.output_folder import folder_beside
from ..data_shards import data_shards
from ..shards import Report
from ..teachers.cache.source import set_up_task
from .corpus import copy_other_splits
from .job import file_dictionary, place_of
from .mmap_writer import MmapWriter
from .seq_kd_request import MAX_UNK, SPLIT, SeqKdRequest

Encode = Callable[[str], str]


@dataclass
class TokenCounts:
    """Numbers of sentences, of their tokens without eos, of <unk> among them, of empty lines."""

    sentences: int = 0
    tokens: int = 0
    unknown: int = 0
    empty: int = 0


@contextmanager
def input_data(cfg: Any, request: SeqKdRequest, report: Report) -> Iterator[None]:
    """Let fairseq's configuration name the data to decode within the block.

    Without --text these are DATA. With it, a temporary folder beside --out gets the text as the
    sources of the training split, and the dictionaries and other splits of DATA.

    Args:
        report: prints the number of sentences and the share of <unk>.
    Raises:
        ValueError: a file is not UTF-8 (with its line), has no sentences, or more <unk> than
            --max-unk; the SentencePiece model does not fit the dictionary.
    """
    if not request.text:
        yield
        return
    task, first = set_up_task(cfg.task, SPLIT), Path(data_shards(cfg.task.data)[0])
    place = place_of(task, first, SPLIT)
    dictionaries = tuple(file_dictionary(task, place, side) for side in ("source", "target"))
    encode = _encoder(request.sentencepiece_model, dictionaries[0])
    with folder_beside(request.out.with_name(f"{request.out.name}.text")) as folder:
        impl = getattr(cfg.task, "dataset_impl", None)
        copy_other_splits(place, impl, (dictionaries[0], dictionaries[1]), folder)
        prefix = folder / f"{SPLIT}.{place.pair}.{place.source}"
        counts = binarize(request.text, encode, dictionaries[0], prefix)
        _check(request, counts, report)
        with writable(cfg.task):
            cfg.task.data, cfg.task.dataset_impl = str(folder), "mmap"
        yield


def binarize(
    files: list[Path], encode: Encode, dictionary: Dictionary, prefix: Path
) -> TokenCounts:
    """Write the lines of text files, in order and without empty ones, as an `mmap` data set.

    Args:
        encode: turns a line into tokens joined by spaces.
        prefix: of the files to write, without .bin and .idx.
    """
    writer, counts = MmapWriter(prefix, len(dictionary)), TokenCounts()
    unknown = dictionary.unk()
    for file in files:
        for line in read_lines(file):
            tokens = encode(line).split()
            if not tokens:
                counts.empty += 1
                continue
            ids = [dictionary.index(token) for token in tokens]
            counts.sentences += 1
            counts.tokens += len(ids)
            counts.unknown += ids.count(unknown)
            writer.add_item(torch.tensor([*ids, dictionary.eos()]))
    writer.finalize()
    return counts


def read_lines(file: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, which end at a line feed only, as for fairseq.

    Raises:
        ValueError: names file and line of text that is not UTF-8.
    """
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"--text {file}, line {number}: expected UTF-8, got {error.reason} at byte "
                    f"{error.start + 1}"
                ) from error


def _encoder(model: Path | None, dictionary: Dictionary) -> Encode:
    if model is None:
        return str
    from sentencepiece import SentencePieceProcessor

    from ..huggingface.tokenizers import pieces_problem

    problem = pieces_problem(model, dictionary.symbols)
    if problem:
        raise ValueError(f"--sentencepiece-model {model}: {problem}")
    processor = SentencePieceProcessor(model_file=str(model))
    return lambda line: " ".join(processor.encode(line.strip(), out_type=str))


def _check(request: SeqKdRequest, counts: TokenCounts, report: Report) -> None:
    names = " ".join(str(path) for path in request.text or ())
    if not counts.sentences:
        raise ValueError(f"--text {names}: expected sentences, got empty files")
    limit = MAX_UNK if request.max_unk is None else request.max_unk
    share = counts.unknown / counts.tokens
    if share > limit:
        advice = (
            "does --sentencepiece-model belong to DATA?"
            if request.sentencepiece_model
            else "is it in the tokens of DATA? Raw text needs --sentencepiece-model"
        )
        raise ValueError(
            f"--text {names}: expected at most {limit:.1%} of <unk> (--max-unk {limit:g}), got "
            f"{share:.1%}; {advice}"
        )
    empty = f"; {counts.empty:,} empty lines skipped" if counts.empty else ""
    report(
        f"text: {counts.sentences:,} sentences, {counts.tokens:,} tokens, {share:.2%} of them "
        f"<unk>{empty}"
    )
