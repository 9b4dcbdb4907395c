"""The two JSON files of a cache: the plan, written first, and the header, written last.

`plan.json` is the plan (see `shards`). `cache.json` is the plan with the number of positions of
every block; it exists only if all blocks do, so a folder without it is not a finished cache.
"""

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...json_files import object_as
from ...problems import Problems, prefix_errors
from ...shards import Block, BlockFolder, PlanFormat
from .draws import most_draws
from .layout import DRAWS, LPROBS, TOP_K, VALUES, Layout

HEADER = "cache.json"
CONTENTS = (TOP_K, LPROBS, VALUES, DRAWS)
MOST_TOKENS = 2**24  # of a vocabulary: ids have three bytes
MOST_BLOCKS = 10**7
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
        first_epoch, epoch_step: the stored epochs are `first_epoch` and every `epoch_step`-th from
            there on: those that train on this folder of a sharded corpus.
    """

    layout: Layout
    data: dict[str, Any]
    teacher: dict[str, Any]
    epochs: int
    max_positions: Any
    bounds: list[int]
    first_epoch: int = 1
    epoch_step: int = 1

    @property
    def stored_epochs(self) -> range:
        """The epochs that blocks are named after, 1 if samples are the same in every epoch."""
        end = self.first_epoch + max(1, self.epochs) * self.epoch_step
        return range(self.first_epoch, end, self.epoch_step)

    @property
    def blocks(self) -> list[Block]:
        """All blocks, epoch by epoch."""
        spans = list(zip(self.bounds, self.bounds[1:], strict=False))
        return [
            Block(self.file(epoch, first), first, end - first, epoch)
            for epoch in self.stored_epochs
            for first, end in spans
        ]

    def file(self, epoch: int, first: int) -> str:
        """Return the name of the file of a block."""
        return f"epoch{epoch:04d}-{first:010d}.bin"

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
    entries = {**asdict(plan), "contents": contents and asdict(contents)}
    if plan.epoch_step == 1:  # as in plans of caches that are not sharded
        del entries["first_epoch"], entries["epoch_step"]
    return entries


def header_text(plan: Plan, contents: Contents) -> str:
    """Return the text of the header."""
    return FORMAT.encode(_entries(plan, contents))


def read_plan(path: Path) -> tuple[Plan, Contents | None]:
    """Read a plan, or a header with its contents.

    Raises:
        ValueError: the file is neither, has another version, is corrupt, or forged with the right
            checksum.
    """
    entries = FORMAT.read(path)
    contents = entries.pop("contents", None)
    with prefix_errors(f"{path}: corrupt"):
        plan = object_as(Plan, entries)
        stored = None if contents is None else object_as(Contents, contents, "contents")
        _problems(plan, stored).raise_if_any()
    return plan, stored


def _problems(plan: Plan, contents: Contents | None) -> Problems:
    """Collect what no cache has, though its checksum is right."""
    layout, bounds, problems = plan.layout, plan.bounds, Problems()
    problems.unless(layout.content in CONTENTS, f"layout.content: got {layout.content!r}")
    in_range = 1 <= layout.vocab <= MOST_TOKENS and 0 < layout.temperature < math.inf
    most = most_draws(layout.vocab) if layout.content == DRAWS and in_range else layout.vocab
    problems.unless(
        in_range and 1 <= layout.k <= most,
        f"layout: got k {layout.k}, vocab {layout.vocab}, temperature {layout.temperature}",
    )
    ascending = all(a < b for a, b in zip(bounds, bounds[1:], strict=False))
    problems.unless(
        len(bounds) > 1 and bounds[0] == 0 and ascending, "bounds: expected ascending numbers"
    )
    blocks = (len(bounds) - 1) * max(1, plan.epochs)
    problems.unless(
        plan.epochs >= 0 and blocks <= MOST_BLOCKS, f"epochs: got {plan.epochs} ({blocks} blocks)"
    )
    problems.unless(
        1 <= plan.first_epoch <= plan.epoch_step <= MOST_BLOCKS,
        f"first_epoch: got {plan.first_epoch}, epoch_step: {plan.epoch_step}",
    )
    if contents is not None:
        numbers = contents.positions
        problems.unless(
            len(numbers) == blocks and min(numbers, default=0) >= 0,
            f"contents.positions: expected {blocks} numbers, got {len(numbers)}",
        )
    return problems
