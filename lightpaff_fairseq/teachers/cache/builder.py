"""Build a cache: compute the missing blocks, and write the header once all blocks are there."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ...block_progress import BlockProgress
from ...megabytes import MEGABYTE
from ...output_file import replacing, write_text
from ...shards import PLAN, Block, Report, Shard, plan_differences
from .block_file import HEAD, INDEX, BlockFile, Item, write_block
from .header import HEADER, Contents, Plan, header_text, read_plan
from .source import Source


def expected_bytes(plan: Plan, positions: int, per_position: float) -> int:
    """Return the size of a cache with a total of `positions` of so many bytes each."""
    samples = plan.bounds[-1] * max(1, plan.epochs)
    heads = HEAD.size * len(plan.blocks) + INDEX.itemsize * samples
    return heads + int(positions * per_position)


def missing_bytes(path: Path, plan: Plan, shard: Shard, complete: int) -> float:
    """Return the bytes that a shard still has to write, of a cache of `complete` bytes."""
    return complete * len(plan.folder(path).missing(shard)) / len(plan.blocks)


def check_space(sizes: dict[Path, float]) -> None:
    """Refuse caches that do not fit on their disks together.

    Args:
        sizes: bytes to write, per existing folder.
    Raises:
        ValueError: a disk has less free space.
    """
    disks = {path: path.stat().st_dev for path in sizes}
    for disk in dict.fromkeys(disks.values()):
        paths = [path for path in sizes if disks[path] == disk]
        size, free = sum(sizes[path] for path in paths), shutil.disk_usage(paths[0]).free
        if size > free:
            raise ValueError(
                f"--out {':'.join(map(str, paths))}: needs about {size / MEGABYTE:,.0f} MB, but "
                f"{free / MEGABYTE:,.0f} MB are free; lower --topk, or use another disk"
            )


def build(source: Source, plan: Plan, path: Path, shard: Shard, report: Report) -> None:
    """Compute the missing blocks of a shard.

    Args:
        source: of the outputs; plan: of the cache; path: the claimed folder.
        report: prints how many blocks are there already.
    Raises:
        ValueError: the folder cannot be written, or another process computes the shard; finished
            blocks are kept.
    """
    folder = plan.folder(path)

    def compute(block: Block, _: object) -> list[Item | None]:
        return source.items(block, plan.layout)

    write = partial(write_block, plan=plan.checksum)
    with folder.only_run(shard):
        blocks = folder.missing(shard, report)
        tokens = [int(source.tokens[b.first : b.first + b.count].sum()) for b in blocks]
        folder.fill(blocks, compute, write, BlockProgress("cache-teacher", tokens, "tokens"))


def finish(path: Path, plan: Plan) -> int:
    """Write the header if no block is missing; return the number of missing blocks.

    Raises:
        ValueError: a block is corrupt.
    """
    folder = plan.folder(path)
    missing = len(folder.missing())
    if missing == 0 and not (path / HEADER).is_file():
        positions, skipped = [], 0
        for block in folder.blocks:  # one index in memory at a time
            file = BlockFile(path / block.file, plan.layout, plan.checksum)
            positions.append(file.positions)
            skipped += file.skipped
        contents = Contents(positions, skipped)
        write_text(path / HEADER, header_text(plan, contents), "--out")
        folder.remove_temporary_files()
    return missing


def merge(parts: Sequence[Path], path: Path) -> int:
    """Copy the blocks of several folders into one cache; return the number of missing blocks.

    Args:
        parts: folders of the same plan; path: a new folder, or one of an interrupted merge.
    Raises:
        ValueError: a part is not a cache, corrupt, or of another plan (with all differences).
    """
    plans = [read_plan(part / PLAN)[0] for part in parts]
    folders = [plan.folder(part) for plan, part in zip(plans, parts, strict=True)]
    for folder in folders:
        problems = plan_differences(folders[0].plan, folder.plan)
        if problems:
            raise ValueError(
                f"{folder.path}: expected a shard of the same cache as {parts[0]}: "
                f"{'; '.join(problems)}"
            )
    merged = plans[0].folder(path)
    merged.claim()
    for block in merged.missing():
        source = next((x for part in parts if (x := part / block.file).is_file()), None)
        if source is None:
            continue
        BlockFile(source, plans[0].layout, plans[0].checksum)
        try:
            with replacing(path / block.file) as temporary:
                shutil.copyfile(source, temporary)
        except OSError as error:
            raise ValueError(
                f"--out {path}: cannot be written: {error}; run the same command again to continue"
            ) from error
    return finish(path, plans[0])
