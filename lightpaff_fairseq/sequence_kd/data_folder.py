"""Write the student's data folder: to a temporary folder, verified line by line, then renamed."""

import json
import struct
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data import data_utils

from ..checkpoints.output_folder import OutputFolder, put_in_place
from .corpus import Corpus, Tokens, checksum
from .mmap_writer import MmapWriter

REPORT = "seq_kd.json"
PAIR = struct.Struct("<qI")  # number of the source, checksum of the target


def check_output(folder: Path, inputs: Sequence[Path], overwrite: bool) -> None:
    """Refuse an --out that cannot be written.

    Args:
        inputs: files and folders that are read, which must not be in it.
    Raises:
        ValueError: see `OutputFolder`.
    """
    OutputFolder(folder, "--out", (REPORT,), inputs).check(overwrite)


class DataFolder:
    """A data folder that is being written; `close` renames it to `out`.

    Args:
        corpus: the original split, whose name the new one gets; out: the final folder.
        vocabularies: sizes of the source's and the target's dictionary.
        folder: an empty folder beside `out`, see `folder_beside`.
    """

    def __init__(
        self, corpus: Corpus, out: Path, vocabularies: tuple[int, int], folder: Path
    ) -> None:
        self.corpus, self.out, self.folder = corpus, out, folder
        place = corpus.place
        self.pairs = 0
        self._written = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  has no name
        corpus.copy_other_splits(self.folder)
        self._prefixes = [
            str(self.folder / f"{place.split}.{place.pair}.{language}")
            for language in (place.source, place.target)
        ]
        self._writers = [
            MmapWriter(Path(prefix), size)
            for prefix, size in zip(self._prefixes, vocabularies, strict=True)
        ]

    def add(self, origin: int, source: Tokens, target: Tokens) -> None:
        """Append a pair, eos included; `origin`: number of the source in the original split."""
        for writer, tokens in zip(self._writers, (source, target), strict=True):
            writer.add_item(torch.from_numpy(tokens))
        self._written.write(PAIR.pack(origin, checksum(target)))
        self.pairs += 1

    def close(self, report: dict[str, Any], overwrite: bool) -> None:
        """Verify the written pairs line by line, and rename the folder.

        Raises:
            ValueError: the files differ from the pairs, or `out` exists by now.
        """
        for writer in self._writers:
            writer.finalize()
        self._verify()
        text = json.dumps(report, indent=1, sort_keys=True) + "\n"
        (self.folder / REPORT).write_text(text, encoding="utf-8")
        finished = self.out / REPORT
        if finished.is_file() and finished.read_text(encoding="utf-8") == text:
            return  # another shard finished at the same time
        check_output(self.out, [self.corpus.place.folder], overwrite)
        put_in_place(self.folder, self.out)

    def _verify(self) -> None:
        datasets = [data_utils.load_indexed_dataset(x, None, "mmap") for x in self._prefixes]
        sizes = [len(dataset) for dataset in datasets]
        if any(size != self.pairs for size in sizes):
            raise ValueError(f"--out {self.out}: expected {self.pairs} pairs, got {sizes}")
        self._written.seek(0)
        stored = iter(partial(self._written.read, PAIR.size), b"")
        for line, (origin, expected) in enumerate(map(PAIR.unpack, stored)):
            source, target = (np.asarray(x[line], dtype=np.int64) for x in datasets)
            same = np.array_equal(source, self.corpus.source(origin))
            if checksum(target) != expected or not same:
                raise ValueError(
                    f"--out {self.out}: line {line} is not the pair that was written (disk error?)"
                )
