"""A split of binarized parallel data, read and copied as it is on disk.

Everything stays in token numbers: nothing is turned into text and back, so the student reads
exactly what the teacher generated.
"""

import re
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import ConcatDataset, data_utils, indexed_dataset
from numpy.typing import NDArray

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """Location of a split: data folder, and the names of split and languages, as fairseq's."""

    folder: Path
    split: str
    source: str
    target: str

    @property
    def pair(self) -> str:
        """Return the languages as fairseq-preprocess writes them into file names."""
        return f"{self.source}-{self.target}"


class Corpus:
    """Sources and, where there are any, references: of `train`, `train1`, ... one after the other.

    Args:
        place: of the split; impl: fairseq's --dataset-impl, None: told by the files.
        dictionaries: of source and target; only text that is not binarized needs them.
    Raises:
        ValueError: the split is not there, empty or corrupt, or its sides differ in length.
    """

    def __init__(self, place: Place, impl: Any, dictionaries: tuple[Any, Any]) -> None:
        self.place = place
        prefixes = [str(prefix) for prefix in split_prefixes(place, impl)]
        if not prefixes:
            raise ValueError(
                f"{place.folder}: expected {place.split}.{place.pair}.{place.source} of "
                "fairseq-preprocess (--split, --source-lang, --target-lang), but there is none"
            )
        sources = [_load(prefix + place.source, dictionaries[0], impl) for prefix in prefixes]
        targets = [_load(prefix + place.target, dictionaries[1], impl) for prefix in prefixes]
        self._sources = ConcatDataset(sources)
        self.has_references = all(target is not None for target in targets)
        for prefix, source, target in zip(prefixes, sources, targets, strict=True):
            if target is not None and len(source) != len(target):
                raise ValueError(
                    f"{prefix}*: expected as many references as sources, got {len(target)} "
                    f"references and {len(source)} sources"
                )
        self._references = ConcatDataset(targets) if self.has_references else None

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def sizes(self) -> NDArray[Any]:
        """Return `(sentences,)` lengths of all sources in tokens, eos included."""
        return np.asarray(self._sources.sizes)

    def source(self, index: int) -> Tokens:
        """Return `(S,)` tokens, eos included, as on disk."""
        return np.asarray(self._sources[index], dtype=np.int64)

    def reference(self, index: int) -> Tokens:
        """Return `(T,)` tokens, eos included, as on disk."""
        assert self._references is not None
        return np.asarray(self._references[index], dtype=np.int64)


def _load(path: str, dictionary: Any, impl: Any) -> Any:
    """Return fairseq's data set of a file; None where there is none."""
    try:
        return data_utils.load_indexed_dataset(path, dictionary, impl)
    except (OSError, ValueError, AssertionError) as error:
        raise ValueError(
            f"{path}: expected sentences of fairseq-preprocess, but they cannot be read: {error}"
        ) from error


def split_prefixes(place: Place, impl: Any) -> list[Path]:
    """List `train.sv-en.`, `train1.sv-en.` and so on: what fairseq joins to one split."""
    prefixes: list[Path] = []
    while True:
        name = place.split + (str(len(prefixes)) if prefixes else "")
        names = (f"{name}.{place.pair}.", f"{name}.{place.target}-{place.source}.")
        existing = [
            place.folder / prefix
            for prefix in names
            if indexed_dataset.dataset_exists(str(place.folder / prefix) + place.source, impl)
        ]
        if not existing:
            return prefixes
        prefixes.append(existing[0])


def copy_the_rest(place: Place, folder: Path) -> None:
    """Copy dictionaries and all other splits of the languages.

    Args:
        place: of the split that is not copied; folder: where to.
    """
    sides = f"(?:{re.escape(place.source)}|{re.escape(place.target)})"
    own = re.compile(rf"{re.escape(place.split)}\d*\.")
    copied = re.compile(rf"dict\.{sides}\.txt|[^.]+\.{sides}-{sides}\.{sides}(?:\.(?:bin|idx))?")
    for path in place.folder.iterdir():
        if copied.fullmatch(path.name) and not own.match(path.name):
            shutil.copyfile(path, folder / path.name)


def checksum(tokens: Tokens) -> int:
    """Return the CRC-32 of a sentence."""
    return zlib.crc32(np.ascontiguousarray(tokens, dtype=np.int64).tobytes())
