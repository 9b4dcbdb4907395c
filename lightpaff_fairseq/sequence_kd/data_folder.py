"""The student's data folder: written beside its place, read back line by line, then renamed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data import data_utils, indexed_dataset

from ..checkpoints.output_folder import OutputFolder, put_in_place
from .corpus import Corpus, Place, Tokens, checksum, copy_the_rest

REPORT = "seq_kd.json"


def check_output(folder: Path, data: Path, overwrite: bool) -> None:
    """Refuse a place that cannot be written, before any work is done.

    Raises:
        ValueError: see `OutputFolder`.
    """
    OutputFolder(folder, "--out", (REPORT,), [data]).check(overwrite)


class DataFolder:
    """A data folder that is being written; `close` puts it in its place.

    Args:
        place: of the split that is replaced, whose name it keeps; out: the folder to become.
        vocabularies: entries of the source's and the target's dictionary.
        folder: an empty one beside `out`, see `folder_beside`.
    """

    def __init__(
        self, place: Place, out: Path, vocabularies: tuple[int, int], folder: Path
    ) -> None:
        self.place, self.out, self.folder = place, out, folder
        self.written: list[tuple[int, int]] = []  # source's number, checksum of the target
        copy_the_rest(place, self.folder)
        self._prefixes = [
            str(self.folder / f"{place.split}.{place.pair}.{side}")
            for side in (place.source, place.target)
        ]
        self._builders = [
            indexed_dataset.make_builder(f"{prefix}.bin", impl="mmap", vocab_size=size)
            for prefix, size in zip(self._prefixes, vocabularies, strict=True)
        ]

    def add(self, origin: int, source: Tokens, target: Tokens) -> None:
        """Append a pair, eos included; `origin` is the source's number in the original split."""
        for builder, tokens in zip(self._builders, (source, target), strict=True):
            builder.add_item(torch.from_numpy(tokens))
        self.written.append((origin, checksum(target)))

    def close(self, corpus: Corpus, report: dict[str, Any], overwrite: bool) -> None:
        """Read everything back, compare it line by line, and rename the folder.

        Raises:
            ValueError: the files differ from what was written, or `out` exists meanwhile.
        """
        for builder, prefix in zip(self._builders, self._prefixes, strict=True):
            builder.finalize(f"{prefix}.idx")
        self._verify(corpus)
        text = json.dumps(report, indent=1, sort_keys=True) + "\n"
        (self.folder / REPORT).write_text(text, encoding="utf-8")
        finished = self.out / REPORT
        if finished.is_file() and finished.read_text(encoding="utf-8") == text:
            return  # another shard finished at the same time
        check_output(self.out, self.place.folder, overwrite)
        put_in_place(self.folder, self.out)

    def _verify(self, corpus: Corpus) -> None:
        sides = [data_utils.load_indexed_dataset(prefix, None, "mmap") for prefix in self._prefixes]
        if any(len(side) != len(self.written) for side in sides):
            sizes = [len(side) for side in sides]
            raise ValueError(f"--out {self.out}: expected {len(self.written)} pairs, got {sizes}")
        for line, (origin, expected) in enumerate(self.written):
            source, target = (np.asarray(side[line], dtype=np.int64) for side in sides)
            if checksum(target) != expected or not np.array_equal(source, corpus.source(origin)):
                raise ValueError(
                    f"--out {self.out}: line {line} is not the pair that was written (disk error?)"
                )
