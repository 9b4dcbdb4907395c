"""The two JSON files of a cache: the plan, written first, and the header, written last.

`plan.json` is the plan (see `shards`). `cache.json` is the plan with the number of positions of
every block; it exists only if all blocks do, so a folder without it is not a finished cache.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...shards import Block, BlockFolder, PlanFormat
from .layout import Layout

HEADER = "cache.json"
FORMAT = PlanFormat("lightpaff teacher cache", has_checksum=True)


@dataclass(frozen=True)
class Plan:
    """The content of a cache, known before it is built.

    Attributes:
        layout: of a record.
        data: fingerprint of the data, which must equal that of the training run.
        teacher: fingerprint of the teacher.
        epochs: number of epochs, each with its own masks; 0: samples are the same in every epoch.
        max_positions: the length limit of samples, in fairseq's form.
        bounds: first sample of every block of an epoch, followed by the number of samples.
    """

    layout: Layout
    data: dict[str, Any]
    teacher: dict[str, Any]
    epochs: int
    max_positions: Any
    bounds: list[int]

    @property
    def blocks(self) -> list[Block]:
        """All blocks, epoch by epoch."""
        spans = list(zip(self.bounds, self.bounds[1:], strict=False))
        return [
            Block(f"epoch{epoch:04d}-{first:010d}.bin", first, end - first, epoch)
            for epoch in range(1, max(1, self.epochs) + 1)
            for first, end in spans
        ]

    @cached_property
    def checksum(self) -> int:
        """The checksum that every block of this plan carries."""
        return FORMAT.checksum(_entries(self, None))

    def folder(self, path: Path, flag: str = "--out") -> BlockFolder:
        """Return the folder of this plan, which `flag` names."""
        return BlockFolder(path, flag, FORMAT, _entries(self, None), self.blocks)


@dataclass(frozen=True)
class Contents:
    """The number of positions per block of a finished cache, and the number of skipped samples."""

    positions: list[int]
    skipped: int


def _entries(plan: Plan, contents: Contents | None) -> dict[str, Any]:
    return {**asdict(plan), "contents": contents and asdict(contents)}


def header_text(plan: Plan, contents: Contents) -> str:
    """Return the text of the header."""
    return FORMAT.encode(_entries(plan, contents))


def read_plan(path: Path) -> tuple[Plan, Contents | None]:
    """Read a plan, or a header with its contents.

    Raises:
        ValueError: the file is neither, has another version, or is corrupt.
    """
    entries = FORMAT.read(path)
    contents = entries.pop("contents")
    layout = Layout(**entries.pop("layout"))
    return Plan(layout=layout, **entries), contents and Contents(**contents)
