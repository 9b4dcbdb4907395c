"""Binarized data of `--task sentence_prediction`: one or two inputs, and labels."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data import Dictionary, data_utils, indexed_dataset
from numpy.typing import NDArray

from ..problems import as_value_error
from ..sequence_kd.corpus import Tokens, checksum
from ..sequence_kd.mmap_writer import MmapWriter

INPUTS, LABELS, DICTIONARY = ("input0", "input1"), "label", "dict.txt"
LABEL_SYMBOLS = 2**17  # more than there are: stored in 32 bits


class LabeledData:
    """A split of a data folder; see the module.

    Attributes:
        inputs: names of the inputs; dictionary: of all of them, with `<mask>`.
        samples: number of samples.
    Raises:
        ValueError: there is no such split, or the parts have different numbers of samples.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split
        self.inputs = [name for name in INPUTS if (folder / name).is_dir()]
        path = folder / INPUTS[0] / DICTIONARY
        if not path.is_file():
            raise ValueError(
                f"{path}: no such file; expected binarized data of the task sentence_prediction"
            )
        with as_value_error(f"{path}: expected a dictionary of fairseq"):
            self.dictionary = Dictionary.load(str(path))
        self.dictionary.add_symbol("<mask>")
        self._inputs = [self._load(name) for name in self.inputs]
        for name, part in zip(self.inputs, self._inputs, strict=True):
            if part is None or not len(part):
                raise ValueError(
                    f"{folder / name / split}: expected a split of fairseq-preprocess, got none"
                )
        self.samples = len(self._inputs[0])
        self._labels = self._load(LABELS)  # None: a regression, or no labels at all
        self._lines = self._read_lines()
        parts = dict(zip(self.inputs, map(len, self._inputs), strict=True))
        parts |= {} if self._labels is None else {LABELS: len(self._labels)}
        parts |= {} if self._lines is None else {f"{split}.label": len(self._lines)}
        if set(parts.values()) != {self.samples}:
            counts = ", ".join(f"{count} in {name}" for name, count in parts.items())
            raise ValueError(f"{folder}: expected as many samples in every part, got {counts}")

    def __len__(self) -> int:
        """Return the number of sentences: samples times inputs, sample by sample."""
        return self.samples * len(self.inputs)

    def sentence(self, index: int) -> Tokens:
        """Return `(S,)` tokens, eos included."""
        sample, part = divmod(index, len(self.inputs))
        return np.asarray(self._inputs[part][sample], dtype=np.int64)

    @property
    def sizes(self) -> NDArray[Any]:
        """The lengths of all sentences in tokens, eos included: `(sentences,)`."""
        sizes: NDArray[Any] = np.stack([part.sizes for part in self._inputs], 1).reshape(-1)
        return sizes

    def write(self, folder: Path, samples: list[tuple[int, list[Tokens]]]) -> None:
        """Write a folder with other samples in this split, and everything else as it is.

        Args:
            samples: for each the number of its original, which gives the label, and its sentences.
        Raises:
            ValueError: the files differ from the samples.
        """
        own = re.compile(rf"{re.escape(self.split)}\d*\..*")
        shutil.copytree(
            self.folder,
            folder,
            ignore=lambda _, names: [name for name in names if own.fullmatch(name)],
            dirs_exist_ok=True,
        )
        for part, name in enumerate(self.inputs):
            rows = [sentences[part] for _, sentences in samples]
            self._write_split(folder / name, rows, len(self.dictionary))
        origins = [origin for origin, _ in samples]
        if self._labels is not None:
            rows = [np.asarray(self._labels[origin], dtype=np.int64) for origin in origins]
            self._write_split(folder / LABELS, rows, LABEL_SYMBOLS)
        if self._lines is not None:
            text = "".join(f"{self._lines[origin]}\n" for origin in origins)
            (folder / LABELS / f"{self.split}.label").write_text(text, encoding="utf-8")

    def _load(self, name: str) -> Any:
        """Return the split of a part, or None if there is none."""
        prefix = str(self.folder / name / self.split)
        with as_value_error(f"{prefix}: expected a split of fairseq-preprocess"):
            impl = indexed_dataset.infer_dataset_impl(prefix)
            impl = "lazy" if impl == "cached" else impl  # the same files, without prefetching
            return data_utils.load_indexed_dataset(prefix, self.dictionary, impl, combine=True)

    def _read_lines(self) -> list[str] | None:
        """Return the numbers of a regression, or labels as text, one line per sample."""
        path = self.folder / LABELS / f"{self.split}.label"
        with as_value_error(f"{path}: expected text", (OSError, UnicodeDecodeError)):
            return path.read_text(encoding="utf-8").splitlines() if path.is_file() else None

    def _write_split(self, folder: Path, rows: list[Tokens], vocabulary: int) -> None:
        prefix = folder / self.split
        writer = MmapWriter(prefix, vocabulary)
        for row in rows:
            writer.add_item(torch.from_numpy(row))
        writer.finalize()
        written = data_utils.load_indexed_dataset(str(prefix), None, "mmap")
        stored = [checksum(np.asarray(written[i])) for i in range(len(written))]
        if stored != [checksum(row) for row in rows]:
            raise ValueError(f"{prefix}: the file differs from what was written (disk error?)")
