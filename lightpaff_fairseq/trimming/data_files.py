"""The files of a folder of fairseq-preprocess: binarized splits, each with its dictionary."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import data_utils, indexed_dataset
from numpy.typing import NDArray

from ..problems import as_value_error

LABELS = "label"
PAIR = re.compile(r"([^.]+)\.[^.]+-[^.]+\.([^.]+)")  # split.source-target.language
CHUNK = 2**22  # tokens at a time


@dataclass(frozen=True)
class DataFile:
    """One side of a split.

    Attributes:
        prefix: path without .bin and .idx; split: as `train1`; dictionary: path of its dict.txt.
    """

    prefix: Path
    split: str
    dictionary: Path

    def sentences(self, flag: str) -> Iterator[NDArray[np.int64]]:
        """Yield the `(T,)` tokens of every sentence.

        Raises:
            ValueError: the files are corrupt.
        """
        name = str(self.prefix)
        with as_value_error(f"{flag} {name}: expected a split of fairseq-preprocess"):
            impl = indexed_dataset.infer_dataset_impl(name)
            impl = "lazy" if impl == "cached" else impl  # the same files, without prefetching
            dataset: Any = data_utils.load_indexed_dataset(name, None, impl)
            for i in range(len(dataset)):
                yield np.asarray(dataset[i], dtype=np.int64)


def data_files(folder: Path, flag: str) -> list[DataFile]:
    """Return all files of binarized text in a folder, and in the folders of its inputs.

    Raises:
        ValueError: there are none, or one has no dictionary.
    """
    files = []
    for index in sorted([*folder.glob("*.idx"), *folder.glob("*/*.idx")]):
        if index.parent.name == LABELS:
            continue
        prefix = index.with_suffix("")
        match = PAIR.fullmatch(prefix.name)
        dictionary = f"dict.{match[2]}.txt" if match else "dict.txt"
        files.append(
            DataFile(prefix, match[1] if match else prefix.name, prefix.parent / dictionary)
        )
    if not files:
        raise ValueError(f"{flag} {folder}: expected data of fairseq-preprocess, got none")
    missing = sorted({str(file.dictionary) for file in files if not file.dictionary.is_file()})
    if missing:
        raise ValueError(f"{flag} {folder}: expected {', '.join(missing)}, got no such file")
    return files


def count_tokens(files: list[DataFile], size: int, flag: str) -> NDArray[np.int64]:
    """Return how often each of `size` tokens occurs: `(V,)`.

    Raises:
        ValueError: there are larger numbers than the dictionary has tokens.
    """
    counts = np.zeros(size, dtype=np.int64)
    for file in files:
        part: list[NDArray[np.int64]] = []
        length = 0
        for tokens in file.sentences(flag):
            part.append(tokens)
            length += len(tokens)
            if length > CHUNK:
                counts += _counted(part, size, file, flag)
                part, length = [], 0
        counts += _counted(part, size, file, flag)
    return counts


def _counted(
    part: list[NDArray[np.int64]], size: int, file: DataFile, flag: str
) -> NDArray[np.int64]:
    tokens = np.concatenate([np.zeros(0, dtype=np.int64), *part])
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < size:
        raise ValueError(
            f"{flag} {file.prefix}: expected tokens from 0 to {size - 1}, as its dictionary has, "
            f"got {tokens.max()}"
        )
    return np.bincount(tokens, minlength=size).astype(np.int64)
