"""Building a cache: what is there is kept, the header is written when nothing is missing."""

import itertools
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...checkpoints.output_file import replacing, write_text
from ...megabytes import MEGABYTE
from .block import HEAD, INDEX, Block, write_block
from .header import (
    HEADER,
    PLAN,
    Contents,
    Plan,
    as_text,
    block_name,
    is_free,
    plan_differences,
    read_plan,
)
from .source import Source


@dataclass(frozen=True)
class Shard:
    """The part of the blocks that one run computes: every `count`-th, from `index` on."""

    index: int = 0
    count: int = 1

    def problem(self) -> str | None:
        """Why there is no such part, in words that start with the flag; or None."""
        if self.count < 1:
            return f"--num-shards {self.count}: expected 1 or more"
        if not 0 <= self.index < self.count:
            last = self.count - 1
            return f"--shard-id {self.index}: expected 0 to --num-shards - 1 ({last})"
        return None


def claim(folder: Path, plan: Plan) -> None:
    """Makes the folder of a cache, or checks that it is one of the same plan.

    Raises:
        ValueError: it cannot be made, holds something else, or lists every difference.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out {folder}: cannot be made: {error}") from error
    if (folder / PLAN).is_file():
        found = plan_differences(read_plan(folder / PLAN)[0], plan)
        if found:
            raise ValueError(
                f"--out {folder}: holds a cache of something else: {'; '.join(found)}. Name "
                "another folder, or delete this one"
            )
    elif not is_free(folder):
        raise ValueError(f"--out {folder}: expected a new folder or an unfinished cache")
    else:
        write_text(folder / PLAN, as_text(plan), "--out")


def expected_bytes(plan: Plan, positions: int) -> int:
    """Size of a cache of so many positions in all."""
    samples = plan.bounds[-1] * max(1, plan.epochs)
    heads = HEAD.size * len(plan.blocks) + INDEX.itemsize * samples
    return heads + positions * plan.layout.dtype.itemsize


def missing_blocks(folder: Path, plan: Plan, shard: Shard) -> list[tuple[int, int, int]]:
    """(epoch, first sample, number of samples) of a shard's blocks that are not there yet."""
    own = plan.blocks[shard.index :: shard.count]
    return [block for block in own if not (folder / block_name(block[0], block[1])).is_file()]


def check_space(folder: Path, plan: Plan, shard: Shard, whole: int) -> None:
    """Refuses to begin, or to continue, what will not fit.

    Args:
        whole: bytes of the complete cache.
    Raises:
        ValueError: the disk has less room than this shard still needs.
    """
    size = whole * len(missing_blocks(folder, plan, shard)) / len(plan.blocks)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ValueError(
            f"--out {folder}: needs about {size / MEGABYTE:,.0f} MB, {free / MEGABYTE:,.0f} MB are "
            "free: lower --topk, or name another disk"
        )


def build(
    source: Source, plan: Plan, folder: Path, shard: Shard, say: Callable[[str], None]
) -> None:
    """Computes the blocks of a shard that are not there yet.

    Args:
        source: of the answers; plan: of the cache; folder: claimed for it.
        shard: which blocks; say: is told of every finished block.
    Raises:
        ValueError: the folder cannot be written; finished blocks stay, nothing half done does.
    """
    own = len(plan.blocks[shard.index :: shard.count])
    todo = missing_blocks(folder, plan, shard)
    if len(todo) < own:
        say(f"{own - len(todo)} of {own} blocks are there already")
    begin, positions = time.perf_counter(), 0
    for done, (epoch, first, count) in enumerate(todo, start=1):
        source.set_epoch(epoch)
        items = source.items(first, count, plan.layout)
        try:
            positions += write_block(folder / block_name(epoch, first), items)
        except OSError as error:
            raise ValueError(
                f"--out {folder}: cannot be written: {error}; {done - 1} blocks of this run are "
                "complete, the same command continues"
            ) from error
        seconds = time.perf_counter() - begin
        left = seconds / done * (len(todo) - done)
        say(
            f"block {done}/{len(todo)}: {positions:,} positions, {positions / seconds:,.0f} a "
            f"second, about {left:,.0f} s left"
        )


def finish(folder: Path, plan: Plan) -> int:
    """Writes the header, if every block is there.

    Returns:
        the number of blocks that are missing; 0: the cache is complete.
    Raises:
        ValueError: a block is damaged.
    """
    paths = [folder / block_name(epoch, first) for epoch, first, _ in plan.blocks]
    missing = sum(not path.is_file() for path in paths)
    if missing == 0 and not (folder / HEADER).is_file():
        blocks = [Block(path, plan.layout) for path in paths]
        positions, skipped = [b.positions for b in blocks], sum(b.skipped for b in blocks)
        write_text(folder / HEADER, as_text(plan, Contents(positions, skipped)), "--out")
        leftovers = (folder.glob(pattern) for pattern in (f"{PLAN}.*.tmp", "epoch*.tmp"))
        for leftover in itertools.chain(*leftovers):  # of runs that were killed
            leftover.unlink(missing_ok=True)  # another shard may have finished as well
    return missing


def merge(parts: Sequence[Path], folder: Path) -> int:
    """Copies the blocks of shards that were built in folders of their own into one cache.

    Args:
        parts: folders of one plan; folder: new, or one that is already being merged into.
    Returns:
        the number of blocks that are missing in all of them.
    Raises:
        ValueError: a part is no cache, damaged, or another one (with every difference).
    """
    plans = [read_plan(part / PLAN)[0] for part in parts]
    for part, plan in zip(parts, plans, strict=True):
        found = plan_differences(plans[0], plan)
        if found:
            raise ValueError(f"{part}: not a shard of the same cache: {'; '.join(found)}")
    claim(folder, plans[0])
    for epoch, first, _ in plans[0].blocks:
        name = block_name(epoch, first)
        source = next((p / name for p in parts if (p / name).is_file()), None)
        if source is None or (folder / name).is_file():
            continue
        Block(source, plans[0].layout)
        try:
            with replacing(folder / name) as temporary:
                shutil.copyfile(source, temporary)
        except OSError as error:
            raise ValueError(
                f"--out {folder}: cannot be written: {error}; the same command continues"
            ) from error
    return finish(folder, plans[0])
