"""Write fairseq's `mmap` data sets of any number of sentences in bounded memory."""

import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import indexed_dataset
from torch import Tensor

CHUNK = 2**16  # sizes at a time
SIZE = np.dtype("<i4")


class MmapWriter:
    """An `mmap` data set that is being written; the sizes of its sentences wait on disk.

    fairseq's own builder keeps 8 bytes per sentence, and 44 more while it writes the index.

    Args:
        prefix: of the files to write, without .bin and .idx; vocabulary: entries of the dictionary.
    """

    def __init__(self, prefix: Path, vocabulary: int) -> None:
        self._index = f"{prefix}.idx"
        self._builder: Any = indexed_dataset.make_builder(
            f"{prefix}.bin", impl="mmap", vocab_size=vocabulary
        )
        self._sizes = tempfile.TemporaryFile(dir=prefix.parent)  # noqa: SIM115  has no name
        self._count = 0

    def add_item(self, tokens: Tensor) -> None:
        """Append a sentence, `(T,)` tokens."""
        self._builder.add_item(tokens)
        self._sizes.write(struct.pack("<i", self._builder._sizes.pop()))
        self._count += 1

    def finalize(self) -> None:
        """Write the index: number of sentences, their sizes, and where each begins in bytes."""
        self._builder._data_file.close()
        dtype = self._builder._dtype
        with indexed_dataset.MMapIndexedDataset.Index.writer(self._index, dtype) as index:
            index._file.write(struct.pack("<Q", self._count))
            for sizes in self._chunks():
                index._file.write(sizes.tobytes())
            start = 0
            for sizes in self._chunks():
                ends = start + np.cumsum(sizes.astype(np.int64) * np.dtype(dtype).itemsize)
                index._file.write(np.concatenate([[start], ends[:-1]]).astype("<i8").tobytes())
                start = int(ends[-1])
        self._sizes.close()

    def _chunks(self) -> Any:
        """Yield `(n,)` sizes, in order."""
        self._sizes.seek(0)
        while part := self._sizes.read(CHUNK * SIZE.itemsize):
            yield np.frombuffer(part, SIZE)
