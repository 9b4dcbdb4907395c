"""A split of binarized parallel data.

Sentences are token ids throughout, never detokenized: the student reads exactly the tokens that the
teacher generated.
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

from .mmap_writer import MmapWriter

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class SplitLocation:
    """The data folder, and fairseq's names of the split and the languages."""

    folder: Path
    split: str
    source: str
    target: str

    @property
    def pair(self) -> str:
        """The languages as in the file names of fairseq-preprocess."""
        return f"{self.source}-{self.target}"


class Corpus:
    """The sources and any references of a split: `train`, `train1`, ... concatenated.

    Args:
        place: of the split; impl: fairseq's --dataset-impl, None: derived from the files.
        dictionaries: of source and target; only needed for text that is not binarized.
        limit: number of sentences from the beginning; None: all.
    Attributes:
        total: number of sentences without the limit.
    Raises:
        ValueError: the split is missing, empty or corrupt, or the numbers of sources and
            references differ.
    """

    def __init__(
        self,
        place: SplitLocation,
        impl: Any,
        dictionaries: tuple[Any, Any],
        limit: int | None = None,
    ) -> None:
        self.place, self._impl, self._dictionaries = place, impl, dictionaries
        prefixes = [str(prefix) for prefix in split_prefixes(place, impl)]
        if not prefixes:
            raise ValueError(
                f"{place.folder}: expected {place.split}.{place.pair}.{place.source} from "
                "fairseq-preprocess, got none (see --split, --source-lang, --target-lang)"
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
        self.total = len(self._sources)
        # one file has its sizes in mapped memory; those of several are copied
        self._sizes = np.asarray(sources[0].sizes if len(sources) == 1 else self._sources.sizes)
        self._length = min(limit or self.total, self.total)

    def __len__(self) -> int:
        return self._length

    @property
    def sizes(self) -> NDArray[Any]:
        """The lengths of all sources in tokens, eos included: `(sentences,)`."""
        return self._sizes[: len(self)]

    def source(self, index: int) -> Tokens:
        """Return `(S,)` tokens, eos included."""
        return np.asarray(self._sources[index], dtype=np.int64)

    def reference(self, index: int) -> Tokens:
        """Return `(T,)` tokens, eos included."""
        assert self._references is not None
        return np.asarray(self._references[index], dtype=np.int64)

    def copy_other_splits(self, folder: Path) -> None:
        """Copy dictionaries and other splits; see `copy_other_splits`."""
        copy_other_splits(self.place, self._impl, self._dictionaries, folder)


def copy_other_splits(
    place: SplitLocation, impl: Any, dictionaries: tuple[Any, Any], folder: Path
) -> None:
    """Copy dictionaries and all other splits of the languages, as `mmap` whatever they are.

    The split that is written is `mmap`, and fairseq reads all splits with one --dataset-impl.

    Args:
        place: of the split that is not copied; impl, dictionaries: see `Corpus`.
    """
    sides = f"(?:{re.escape(place.source)}|{re.escape(place.target)})"
    split = re.compile(rf"([^.]+\.{sides}-{sides}\.{sides})(?:\.bin|\.idx)?")
    own = re.compile(rf"{re.escape(place.split)}\d*\.")
    names = sorted(path.name for path in place.folder.iterdir() if not own.match(path.name))
    for name in names:
        if re.fullmatch(rf"dict\.{sides}\.txt", name):
            shutil.copyfile(place.folder / name, folder / name)
    for name in sorted({match[1] for name in names if (match := split.fullmatch(name))}):
        dictionary = dictionaries[0 if name.endswith(f".{place.source}") else 1]
        _copy_split(str(place.folder / name), impl, dictionary, folder / name)


def _copy_split(path: str, impl: Any, dictionary: Any, copy: Path) -> None:
    """Copy one side of a split; paths are those of its files, without .bin and .idx."""
    if (impl or indexed_dataset.infer_dataset_impl(path)) == "mmap":
        for ending in (".bin", ".idx"):
            shutil.copyfile(path + ending, f"{copy}{ending}")
        return
    dataset = _load(path, dictionary, impl) or _load(path, dictionary, None)
    if dataset is None:  # half of one, which fairseq does not read either
        return
    writer = MmapWriter(copy, len(dictionary))
    for index in range(len(dataset)):
        writer.add_item(dataset[index])
    writer.finalize()


def _load(path: str, dictionary: Any, impl: Any) -> Any:
    """Return fairseq's dataset of a file, or None if there is none."""
    if (impl or indexed_dataset.infer_dataset_impl(path)) == "cached":
        impl = "lazy"  # the same files, but sentences are there without being prefetched
    try:
        return data_utils.load_indexed_dataset(path, dictionary, impl)
    except (OSError, ValueError, AssertionError) as error:
        raise ValueError(
            f"{path}: expected a dataset of fairseq-preprocess, got an error: {error}"
        ) from error


def split_prefixes(place: SplitLocation, impl: Any) -> list[Path]:
    """List the prefixes that fairseq joins to one split: `train.sv-en.`, `train1.sv-en.`, ..."""
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


def checksum(tokens: Tokens) -> int:
    """Return the CRC-32 of a sentence."""
    return zlib.crc32(np.ascontiguousarray(tokens, dtype=np.int64).tobytes())
