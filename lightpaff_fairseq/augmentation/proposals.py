"""A folder of proposed words: for every word of every sentence, in blocks.

A block is a compressed `.npz` file: per sentence its checksum and its number of words, per word its
position and the proposed symbols, most probable first, and the checksum of the plan.
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..output_file import replacing
from ..sequence_kd.hypotheses import CORRUPT
from ..shards import Block, BlockFolder, PlanFormat

FORMAT = PlanFormat("lightpaff proposals", has_checksum=True)
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """The content of a folder of proposals.

    Attributes:
        data: fingerprint of the data; model: of the masked language model, with its flags.
        samples: number of samples; inputs: sentences per sample; block_size: samples per block.
        candidates: proposed symbols per word.
    """

    data: dict[str, Any]
    model: dict[str, Any]
    samples: int
    inputs: int
    block_size: int
    candidates: int

    @property
    def blocks(self) -> list[Block]:
        """All blocks, in order; `first` and `count` are sentences."""
        blocks = []
        for first in range(0, self.samples, self.block_size):
            count = min(self.block_size, self.samples - first)
            name = f"proposals-{first:010d}.npz"
            blocks.append(Block(name, first * self.inputs, count * self.inputs))
        return blocks

    @cached_property
    def checksum(self) -> int:
        """The checksum that every block of this plan carries."""
        return FORMAT.checksum(asdict(self))

    def folder(self, path: Path) -> BlockFolder:
        """Return the folder of this plan."""
        return BlockFolder(path, "--proposals", FORMAT, asdict(self), self.blocks)


@dataclass(frozen=True)
class Proposals:
    """The proposals for a sentence.

    Attributes:
        checksum: of the sentence.
        positions: `(N,)` of its words; symbols: `(N, M)` proposed for each.
    """

    checksum: int
    positions: Integers
    symbols: Integers


def write_block(path: Path, sentences: Sequence[Proposals], plan: int) -> None:
    """Write the proposals for consecutive sentences, completely or not at all.

    Args:
        path: the file; plan: checksum of the plan.
    Raises:
        OSError: the file cannot be written.
    """
    content = io.BytesIO()  # on a full disk, zipfile prints a traceback of its own
    np.savez_compressed(
        content,
        plan=np.array(plan, dtype=np.uint32),
        sentences=np.array([x.checksum for x in sentences], dtype=np.uint32),
        counts=np.array([len(x.positions) for x in sentences], dtype=np.uint32),
        positions=np.concatenate([x.positions for x in sentences]).astype(np.uint32),
        symbols=np.concatenate([x.symbols for x in sentences]).astype(np.uint32),
    )
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def read_block(path: Path, count: int, plan: Plan) -> list[Proposals]:
    """Read a block of `count` sentences.

    Raises:
        ValueError: it is missing, corrupt or of another plan.
    """
    again = "delete the file and run the same command again"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            block = {name: np.asarray(arrays[name], dtype=np.int64) for name in arrays.files}
        ends = np.cumsum(block["counts"])[:-1]
        rows = zip(
            block["sentences"].tolist(),
            np.split(block["positions"], ends),
            np.split(block["symbols"], ends),
            strict=True,
        )
        sentences = [Proposals(*row) for row in rows]
        own_plan, shape = int(block["plan"]), block["symbols"].shape
    except CORRUPT as error:
        raise ValueError(f"{path}: corrupt ({error}); {again}") from error
    if own_plan != plan.checksum:
        raise ValueError(
            f"{path}: is a block of other proposals (another model, other data or flags): expected "
            f"the plan's checksum {plan.checksum}, got {own_plan}; {again}"
        )
    if len(sentences) != count or shape != (sum(block["counts"]), plan.candidates):
        raise ValueError(f"{path}: corrupt (expected proposals for {count} sentences); {again}")
    return sentences
