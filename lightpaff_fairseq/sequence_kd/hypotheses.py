"""A folder of hypotheses: all that the teacher generated for every source, in blocks.

A block is an ordinary `.npz` file, whose arrays have checksums: the concatenated tokens of all
hypotheses, their lengths, scores and cuts, the number of hypotheses per source, and the checksums
of the sources and of the plan (which blocks of version 0.1 do not have).
"""

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..output_file import replacing
from ..shards import Block, BlockFolder, PlanFormat
from .corpus import Tokens

FORMAT = PlanFormat(
    "lightpaff hypotheses",
    has_checksum=False,
    absent={
        "data": {"--limit": "none", "SHA-256 of --text": "none"},
        "generation": {"--backend": "fairseq"},
    },
)
CORRUPT = (OSError, ValueError, LookupError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Plan:
    """The content of a folder of hypotheses.

    Attributes:
        data: fingerprint of the data; teacher: of the models; generation: flags of the search.
        sentences: number of sources; block_size: sources per block.
    """

    data: dict[str, Any]
    teacher: dict[str, Any]
    generation: dict[str, Any]
    sentences: int
    block_size: int

    @property
    def blocks(self) -> list[Block]:
        """All blocks, in order."""
        starts = range(0, self.sentences, self.block_size)
        return [
            Block(
                f"hypotheses-{first:010d}.npz", first, min(self.block_size, self.sentences - first)
            )
            for first in starts
        ]

    @cached_property
    def checksum(self) -> int:
        """The checksum that every block of this plan carries."""
        return FORMAT.checksum(asdict(self))

    def folder(self, path: Path) -> BlockFolder:
        """Return the folder of this plan."""
        return BlockFolder(path, "--hypotheses", FORMAT, asdict(self), self.blocks)


@dataclass(frozen=True)
class Hypothesis:
    """One output of the teacher.

    Attributes:
        tokens: `(T,)`, without eos and language tokens.
        score: of the generator (mean log-probability per token unless --unnormalized).
        cut: true if it was cut at the length limit.
    """

    tokens: Tokens
    score: float
    cut: bool


@dataclass(frozen=True)
class Hypotheses:
    """The checksum of a source, and its hypotheses, best first; none if it is too long."""

    source: int
    hypotheses: Sequence[Hypothesis]


def write_block(path: Path, sources: Sequence[Hypotheses], plan: int) -> None:
    """Write the hypotheses of consecutive sources, completely or not at all.

    Args:
        path: the file; plan: checksum of the plan.
    Raises:
        OSError: the file cannot be written.
    """
    flat = [hypothesis for source in sources for hypothesis in source.hypotheses]
    tokens = [hypothesis.tokens for hypothesis in flat]
    content = io.BytesIO()  # on a full disk, zipfile prints a traceback of its own
    np.savez_compressed(
        content,
        plan=np.array(plan, dtype=np.uint32),
        sources=np.array([x.source for x in sources], dtype=np.uint32),
        counts=np.array([len(x.hypotheses) for x in sources], dtype=np.uint32),
        lengths=np.array([len(x) for x in tokens], dtype=np.uint32),
        scores=np.array([x.score for x in flat], dtype=np.float32),
        cut=np.array([x.cut for x in flat], dtype=np.bool_),
        symbols=np.concatenate([np.empty(0, np.uint32), *tokens]).astype(np.uint32),
    )
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def read_block(path: Path, count: int, plan: int) -> list[Hypotheses]:
    """Read a block of `count` sources; `plan`: checksum of the plan.

    Raises:
        ValueError: it is missing, corrupt or of another plan, or has another number of sources.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            block = {name: arrays[name] for name in arrays.files}
        own_plan = int(block.get("plan", plan))  # version 0.1 has none
        tokens = np.split(block["symbols"].astype(np.int64), np.cumsum(block["lengths"])[:-1])
        scores, cut = block["scores"].tolist(), block["cut"].tolist()
        rows = zip(tokens[: len(scores)], scores, cut, strict=True)
        flat = [Hypothesis(*row) for row in rows]
        ends = np.cumsum(block["counts"]).tolist()
        spans = zip(block["sources"].tolist(), [0, *ends[:-1]], ends, strict=True)
        sources = [Hypotheses(source, flat[a:b]) for source, a, b in spans]
    except CORRUPT as error:
        raise ValueError(
            f"{path}: corrupt ({error}); delete the file and run the same command again"
        ) from error
    if own_plan != plan:
        raise ValueError(
            f"{path}: is a block of other hypotheses (another teacher, other data or flags): "
            f"expected the plan's checksum {plan}, got {own_plan}; delete the file and run the "
            "same command again"
        )
    if len(sources) != count:
        raise ValueError(f"{path}: expected hypotheses of {count} sources, got {len(sources)}")
    return sources
