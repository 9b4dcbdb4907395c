"""Rewrite binarized data with the tokens that a trimmed model keeps, without the text."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..checkpoints.output_folder import new_folder
from ..huggingface.conversion import ENCODING
from ..output_file import write_json
from ..sequence_kd.mmap_writer import MmapWriter
from .cut_list import SHARED, TARGET, UNK, CutList, KeptTokens, read_cut_list
from .data_files import LABELS, DataFile, data_files
from .subword_files import SubwordFiles, subword_files
from .trim_request import DATA_RECORD, TrimRequest

Tokens = NDArray[np.int64]


@dataclass
class Rewritten:
    """What became of the sentences.

    Attributes:
        sentences: all; respelled: those with a token that was cut.
        before, after: tokens; unknown: `<unk>` among them afterwards, but for those before.
    """

    sentences: int = 0
    respelled: int = 0
    before: int = 0
    after: int = 0
    unknown: int = 0


class Rewriter:
    """Rewrite sentences, as encoding their text with the cut tokenizer would.

    A sentence of kept tokens alone is renumbered. In another one, the text between special symbols
    is spelled again; without a tokenizer, cut tokens become `<unk>`.
    """

    def __init__(self, kept: KeptTokens, files: SubwordFiles) -> None:
        self.kept, self.files = kept, files
        special = set(kept.special) | {UNK}
        self._is_text = np.array(
            [i not in special and files.is_text(name) for i, name in enumerate(kept.symbols)]
        )
        self._ids = {name: i for i, name in enumerate(kept.kept_symbols)}

    def rewrite(self, tokens: Tokens) -> Tokens:
        """Return the new `(T,)` tokens of a sentence."""
        new = self.kept.new_ids[tokens]
        if (new >= 0).all():
            return new
        is_text = self._is_text[tokens]
        ends = [*np.flatnonzero(np.diff(is_text)) + 1, len(tokens)]
        parts, start = [], 0
        for end in ends:
            part = np.where(new[start:end] < 0, UNK, new[start:end])
            if is_text[start] and (new[start:end] < 0).any():
                spelled = self.files.spell([self.kept.symbols[i] for i in tokens[start:end]])
                part = np.array([self._ids.get(name, UNK) for name in spelled], dtype=np.int64)
            parts.append(part)
            start = end
        return np.concatenate(parts)


def rebinarize(request: TrimRequest) -> Rewritten:
    """Write the data folder; it appears when all of it is written.

    Raises:
        ValueError: bad flags, data of another dictionary, or corrupt; nothing was written then.
    """
    request.check()
    assert request.like is not None and request.rebinarize is not None
    source, kept = request.rebinarize, read_cut_list(request.like)
    place = request.like if (request.like / ENCODING).is_file() else None
    tokenizers, files = subword_files(place), data_files(source, "--rebinarize")
    sides = [kept.side_of(file.dictionary, "--rebinarize") for file in files]
    total = Rewritten()
    with new_folder(request.out) as folder:
        _copy_others(source, files, kept, folder)
        for file, side in zip(files, sides, strict=True):
            language = TARGET if _is_target(file, side) else "source"
            rewriter = Rewriter(kept.sides[side], tokenizers[language])
            _rewrite_file(file, rewriter, folder / file.prefix.relative_to(source), total)
        write_json(folder / DATA_RECORD, {"format": 1, **asdict(total)}, "--out")
    return total


def _is_target(file: DataFile, side: str) -> bool:
    """Return true if a file is the target's: by its dictionary, or by its name."""
    match = re.fullmatch(r"[^.]+\.[^.]+-([^.]+)\.([^.]+)", file.prefix.name)
    return side == TARGET or (side == SHARED and match is not None and match[1] == match[2])


def _copy_others(source: Path, files: Sequence[DataFile], kept: CutList, folder: Path) -> None:
    """Copy all but the binarized text, with the dictionaries as cut."""
    names = {f"{file.prefix}{ending}" for file in files for ending in (".bin", ".idx")}

    def copy(path: str, to: str) -> None:
        if path in names:
            return
        if Path(path).name.startswith("dict.") and path.endswith(".txt"):
            write_cut_dictionary(Path(path), kept, Path(to))
        else:
            shutil.copyfile(path, to)

    shutil.copytree(source, folder, copy_function=copy, dirs_exist_ok=True)


def write_cut_dictionary(path: Path, kept: CutList, copy: Path) -> None:
    """Write a dictionary as cut; copy one of labels, or of another model."""
    try:
        side = None if path.parent.name == LABELS else kept.side_of(path, "dict")
    except ValueError:
        side = None
    if side is None:
        shutil.copyfile(path, copy)
    else:
        kept.sides[side].write_dictionary(copy)


def _rewrite_file(file: DataFile, rewriter: Rewriter, prefix: Path, total: Rewritten) -> None:
    writer = MmapWriter(prefix, len(rewriter.kept.kept))
    for tokens in file.sentences("--rebinarize"):
        _check(tokens, rewriter.kept, file)
        new = rewriter.rewrite(tokens)
        writer.add_item(torch.from_numpy(new))
        total.sentences += 1
        total.respelled += bool((rewriter.kept.new_ids[tokens] < 0).any())
        total.before += len(tokens)
        total.after += len(new)
        total.unknown += int((new == UNK).sum()) - int((tokens == UNK).sum())
    writer.finalize()


def _check(tokens: Tokens, kept: KeptTokens, file: DataFile) -> None:
    size = len(kept.symbols)
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < size:
        raise ValueError(
            f"--rebinarize {file.prefix}: expected tokens from 0 to {size - 1}, as its dictionary "
            f"has, got {tokens.max()}"
        )
