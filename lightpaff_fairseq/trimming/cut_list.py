"""The tokens that a model keeps: for one dictionary, or for source and target each."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import Dictionary
from numpy.typing import NDArray

from ..checkpoints.dictionaries import first_difference
from ..json_files import object_as, read_json, value_as
from ..output_file import write_json
from ..problems import as_value_error, prefix_errors
from .trim_request import RECORD

SHARED, SOURCE, TARGET = "shared", "source", "target"
SIDES = (SOURCE, TARGET)
UNK, FIRST = 3, 4  # index of <unk>, and of the first symbol in dict.txt


@dataclass(frozen=True)
class StoredTokens:
    """What the list stores of one dictionary.

    Attributes:
        kept: indices in the whole dictionary, ascending; special: those that are not text.
        dictionary, cut: names of the files with the symbols that are kept, and those that are cut.
    """

    kept: list[int]
    special: list[int]
    dictionary: str
    cut: str


@dataclass(frozen=True)
class KeptTokens(StoredTokens):
    """What is kept of one dictionary.

    Attributes:
        symbols: all of the whole dictionary.
        counts: of every symbol in the counted data; empty: not counted.
    """

    symbols: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    @cached_property
    def new_ids(self) -> NDArray[np.int64]:
        """`(V,)`: the new index of each token; -1: it is cut."""
        ids = np.full(len(self.symbols), -1, dtype=np.int64)
        ids[self.kept] = np.arange(len(self.kept))
        return ids

    @property
    def kept_symbols(self) -> list[str]:
        """The symbols that are kept, in order."""
        return [self.symbols[i] for i in self.kept]

    @cached_property
    def cut_symbols(self) -> dict[str, int]:
        """The symbols that are cut, with their counts in the data."""
        counts = self.counts or [0] * len(self.symbols)
        return {self.symbols[i]: counts[i] for i in np.flatnonzero(self.new_ids < 0)}

    def write_dictionary(self, path: Path) -> None:
        """Write the symbols that are kept, as fairseq's `dict.txt`."""
        _write_symbols(path, dict.fromkeys(self.kept_symbols[FIRST:], 1))

    def write_cut(self, path: Path) -> None:
        """Write the symbols that are cut, with their counts."""
        _write_symbols(path, self.cut_symbols)


@dataclass(frozen=True)
class CutList:
    """What is kept of the dictionaries of a model.

    Attributes:
        sides: `shared`, or `source` and `target`.
    """

    sides: dict[str, KeptTokens]

    def of(self, side: str) -> KeptTokens:
        """Return what is kept of the source's or the target's dictionary."""
        return self.sides.get(side) or self.sides[SHARED]

    def side_of(self, path: Path, flag: str) -> str:
        """Return the side whose whole dictionary a file is, with or without what tasks add to it.

        Raises:
            ValueError: it is another one.
        """
        with as_value_error(f"{flag} {path}: expected a dictionary of fairseq"):
            dictionary = Dictionary.load(str(path))
        differences = {side: _difference(kept, dictionary) for side, kept in self.sides.items()}
        for side, difference in differences.items():
            if difference is None:
                return side
        raise ValueError(
            f"{flag} {path}: expected the dictionary of the model before it was cut: "
            f"{next(iter(differences.values()))}"
        )

    def write(self, folder: Path, summary: dict[str, Any]) -> None:
        """Write the list, and the symbols that are cut.

        Args:
            summary: numbers to record with it.
        """
        sides = {}
        for name, side in self.sides.items():
            side.write_cut(folder / side.cut)
            sides[name] = asdict(StoredTokens(side.kept, side.special, side.dictionary, side.cut))
        write_json(folder / RECORD, {"format": 1, "sides": sides, "summary": summary}, "--out")


def read_cut_list(folder: Path) -> CutList:
    """Read what a trimmed folder kept.

    Raises:
        ValueError: the files are corrupt.
    """
    path = folder / RECORD
    with prefix_errors(f"--like {path}: corrupt"):
        content = value_as(dict[str, Any], read_json(path), RECORD)
        sides = value_as(dict[str, Any], content.get("sides"), "sides")
        read = {name: _with_symbols(object_as(StoredTokens, sides[name]), folder) for name in sides}
        if set(read) not in ({SHARED}, set(SIDES)):
            raise ValueError(f"sides: expected shared, or source and target, got {list(read)}")
    return CutList(read)


def _with_symbols(side: StoredTokens, folder: Path) -> KeptTokens:
    """Put the symbols that are kept and those that are cut in their order."""
    kept = [*Dictionary().symbols, *_read_symbols(folder / side.dictionary)]
    cut = _read_symbols(folder / side.cut)
    size = len(kept) + len(cut)
    indices, special = (np.asarray(x, dtype=np.int64) for x in (side.kept, side.special))
    is_sorted = len(indices) == len(kept) and bool((np.diff(indices) > 0).all())
    if not is_sorted or indices[-1] >= size or not np.isin(special, indices).all():
        raise ValueError("kept: expected the indices of the dictionary's symbols, ascending")
    symbols = np.empty(size, dtype=object)
    is_kept = np.zeros(size, dtype=bool)
    is_kept[indices] = True
    symbols[is_kept], symbols[~is_kept] = kept, list(cut)
    return KeptTokens(side.kept, side.special, side.dictionary, side.cut, symbols.tolist())


def _difference(side: KeptTokens, dictionary: Dictionary) -> str | None:
    """Return in what a dictionary differs from a whole one; None: in special symbols at its end."""
    special = {side.symbols[i] for i in side.special}
    size = len(dictionary)
    if size < len(side.symbols) and special.issuperset(side.symbols[size:]):
        for symbol in side.symbols[size:]:
            dictionary.add_symbol(symbol)
    return first_difference(dictionary_of(side.symbols), dictionary, ("model's", "data's"))


def dictionary_of(symbols: Sequence[str]) -> Dictionary:
    """Return a dictionary with these symbols alone, to compare it with another one."""
    dictionary = Dictionary()
    dictionary.symbols = list(symbols)
    return dictionary


def _write_symbols(path: Path, counts: dict[str, int]) -> None:
    """Write `symbol count` per line; fairseq's mark lets a symbol have a special one's name."""
    special = Dictionary().symbols
    marks = dict.fromkeys(special, " #fairseq:overwrite")
    lines = (f"{symbol} {count}{marks.get(symbol, '')}\n" for symbol, count in counts.items())
    path.write_text("".join(lines), encoding="utf-8")


def _read_symbols(path: Path) -> list[str]:
    with as_value_error(f"{path}: expected symbols with their counts", (OSError, ValueError)):
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        return [line.removesuffix(" #fairseq:overwrite").rsplit(" ", 1)[0] for line in lines]
