"""Cut the vocabulary of a model: choose the tokens, write the folder."""

import os
import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..checkpoints.dictionaries import first_difference
from ..checkpoints.output_folder import new_folder
from ..evaluation.model_rows import count_parameters
from ..huggingface.conversion import ENCODING, MODEL, ORIGIN
from ..huggingface.tokenizers import PIECES, write_encoding
from ..problems import Problems
from .choice import Choice
from .cut_list import (
    SHARED,
    SIDES,
    SOURCE,
    TARGET,
    CutList,
    KeptTokens,
    dictionary_of,
    read_cut_list,
)  # fmt: skip
from .data_files import DataFile, count_tokens, data_files
from .hf_companion import check_companion, origin_of, write_companion
from .rebinarize import write_cut_dictionary
from .subword_files import SubwordFiles, subword_files
from .trim_request import TrimRequest
from .trimmed_model import write_trimmed
from .whole_model import WholeModel, dictionaries_of, read_whole_model

NO_FILES = (
    "no tokenizer was found beside the checkpoint: text with a token that was cut becomes <unk> "
    "there; name its SentencePiece model, or the folder of lightpaff convert, with --tokenizer, to "
    "have it spelled with tokens that are kept"
)


@dataclass(frozen=True)
class Trimmed:
    """What was kept, and what the user should know.

    Attributes:
        coverage: share of the data's tokens that are kept, per side; empty if nothing was counted.
        parameters: before and after; sizes: bytes of the files.
    """

    kept: CutList
    coverage: dict[str, float]
    parameters: tuple[int, int]
    sizes: tuple[int, int]
    notes: list[str] = field(default_factory=list)


def trim(request: TrimRequest) -> Trimmed:
    """Write a folder with the model, dictionaries and tokenizer; it appears when all is verified.

    Raises:
        ValueError: bad flags, a model or data that cannot be used, or too few or too many tokens;
            nothing was written then.
    """
    request.check()
    assert request.path is not None
    whole = read_whole_model(request.path, request.data or ())
    place = _tokenizer_place(request)
    files = subword_files(place)
    if request.like is None:
        languages = _languages(request, whole)
        kept, coverage = _choose(request, whole, files, languages)
    else:
        kept, coverage = _same_tokens(request.like, whole), {}
        new_ids = kept.of(SOURCE).new_ids
        symbols = dict(zip(kept.of(SOURCE).symbols, new_ids, strict=True))
        languages = [name for name, symbol in whole.languages.items() if symbols[symbol] >= 0]
    data = os.path.abspath(request.out)
    with new_folder(request.out) as folder:
        _write_dictionaries(whole, kept, folder)
        _write_tokenizer(request.like, place, files, kept, folder)
        tensors = write_trimmed(whole, kept, (languages, data), folder)
        notes = [] if place else [NO_FILES]
        notes += _write_hf_files(request, place, kept, folder)
        parameters = (count_parameters(whole.state["model"]), count_parameters(tensors))
        sizes = (request.path.stat().st_size, (folder / MODEL).stat().st_size)
        summary = {"parameters": parameters, "bytes": sizes, "coverage": coverage}
        kept.write(folder, summary)
    return Trimmed(kept, coverage, parameters, sizes, notes)


def _write_hf_files(
    request: TrimRequest, place: Path | None, kept: CutList, folder: Path
) -> list[str]:
    """Write what the model needs to go back to Hugging Face; return a note if it cannot."""
    assert request.path is not None
    origin = origin_of([request.like] if request.like else [place, request.path.parent])
    if origin is None:
        return []
    try:
        if request.like is not None:
            shutil.copytree(origin, folder / ORIGIN)
        else:
            write_companion(origin, kept.of(SOURCE), folder)
        check_companion(folder)
    except ValueError as error:
        shutil.rmtree(folder / ORIGIN, ignore_errors=True)
        return [f"the trimmed model cannot go back to Hugging Face: {error}"]
    return []


def _tokenizer_place(request: TrimRequest) -> Path | None:
    """Return the model or folder with the tokenizer; None: there is none."""
    if request.tokenizer is not None:
        return request.tokenizer
    folder = request.like or (request.path or request.out).parent
    return folder if (folder / ENCODING).is_file() else None


def _languages(request: TrimRequest, whole: WholeModel) -> list[str]:
    """Return the languages to keep; empty if the model has none.

    Raises:
        ValueError: they are unknown, or the task translates others.
    """
    known, problems = list(whole.languages), Problems()
    if request.langs is None:
        return known
    unknown = [name for name in request.langs if name not in known]
    listed = ", ".join(known) or "one with --langs"
    problems.unless(
        not unknown,
        f"--langs: expected languages of the model ({listed}), got {', '.join(unknown)}",
    )
    needed = sorted({name for pair in whole.pairs for name in pair if name in known})
    missing = [name for name in needed if name not in request.langs]
    problems.unless(
        not missing,
        f"--langs: expected {', '.join(missing)}, too, which the checkpoint's task translates",
    )
    problems.raise_if_any()
    return [name for name in known if name in request.langs]


def _choose(
    request: TrimRequest, whole: WholeModel, files: dict[str, SubwordFiles], languages: list[str]
) -> tuple[CutList, dict[str, float]]:
    """Count the data, and choose the tokens of each dictionary."""
    everything = _everything(whole)
    counted: dict[str, list[DataFile]] = {side: [] for side in everything.sides}
    split = request.split or "train"
    for folder in request.data or ():
        named = [x for x in data_files(folder, "--data") if re.fullmatch(rf"{split}\d*", x.split)]
        if not named:
            raise ValueError(f"--data {folder}: expected the split {split}, got none (see --split)")
        for file in named:
            counted[everything.side_of(file.dictionary, "--data")].append(file)
    sides, coverage = {}, {}
    for name, side in everything.sides.items():
        dropped = {i for i in side.special if side.symbols[i] in whole.languages.values()}
        dropped -= {i for i in dropped if side.symbols[i] in map(whole.languages.get, languages)}
        choice = Choice(
            side.symbols,
            count_tokens(counted[name], len(side.symbols), "--data"),
            set(side.special) - dropped,
            dropped,
            files[TARGET if name == TARGET else SOURCE],
            files[TARGET],
        )
        if request.keep is not None:
            kept = choice.most_frequent(request.keep)
        else:
            kept = choice.covering(float(request.coverage or 0))
        coverage[name] = choice.coverage(kept)
        special = sorted(set(side.special) - dropped)
        counts = choice.counts.tolist()
        sides[name] = replace(side, kept=kept, special=special, counts=counts)
    return CutList(sides), coverage


def _everything(whole: WholeModel) -> CutList:
    """Return the list that keeps every token."""
    sides = {}
    for name, dictionary in whole.dictionaries.items():
        ending = "" if name == SHARED else f".{name}"
        sides[name] = KeptTokens(
            kept=list(range(len(dictionary))),
            special=whole.special(dictionary),
            dictionary=f"dict{ending}.txt",
            cut=f"cut{ending}.txt",
            symbols=list(dictionary.symbols),
        )
    return CutList(sides)


def _same_tokens(like: Path, whole: WholeModel) -> CutList:
    """Return the tokens of another trimmed model.

    Raises:
        ValueError: it had another dictionary before it was cut.
    """
    kept = read_cut_list(like)
    for side, dictionary in zip(SIDES, dictionaries_of(whole.task), strict=True):
        symbols = dictionary_of(kept.of(side).symbols)
        difference = first_difference(symbols, dictionary, ("other model's", "model's"))
        if difference:
            raise ValueError(
                f"--like {like}: expected a model with the {side} dictionary that the tokens were "
                f"cut from, got --path {whole.path} with another: {difference}"
            )
    return kept


def _write_dictionaries(whole: WholeModel, kept: CutList, folder: Path) -> None:
    """Write the dictionaries as cut where the task looks for them, and those of labels."""
    for side in kept.sides.values():
        side.write_dictionary(folder / side.dictionary)
    for path in (*whole.folder.glob("dict*.txt"), *whole.folder.glob("*/dict*.txt")):
        copy = folder / path.relative_to(whole.folder)
        copy.parent.mkdir(exist_ok=True)
        write_cut_dictionary(path, kept, copy)


def _write_tokenizer(
    like: Path | None,
    place: Path | None,
    files: dict[str, SubwordFiles],
    kept: CutList,
    folder: Path,
) -> None:
    """Write the tokenizer's files as cut; those of `like` are already."""
    if place is None:
        return
    for side in SIDES:
        cut = kept.of(side).cut_symbols if like is None else ()
        files[side].write(cut, folder)
    if place.is_dir():
        shutil.copyfile(place / ENCODING, folder / ENCODING)
    else:
        write_encoding({"--bpe": "sentencepiece", "--sentencepiece-model": PIECES}, folder)
