"""Folders that are filled block by block: teacher caches, and hypotheses of sequence-level KD.

`plan.json` is written first, so that later runs and other shards can only continue the same work.
Each block is a file that is written atomically and never computed twice.
"""

import json
import os
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from .block_progress import BlockProgress
from .flags import at_least, flag, range_problems
from .json_files import read_json
from .output_file import write_text

PLAN, VERSION = "plan.json", 1
TEMPORARY_PLANS = f"{PLAN}.*.tmp"  # of another shard, or of a killed run
LONGEST_VALUE = 200  # characters; messages do not quote longer values

T = TypeVar("T")
Report = Callable[[str], None]  # prints a line
Advance = Callable[[int], None]  # is called with the finished part of the current block


@dataclass(frozen=True)
class Shard:
    """The blocks that one run computes: every `num_shards`-th, from `shard_id` on."""

    num_shards: int = flag(
        "runs that share the work (default: all launched)", 1, metavar="N", expected=at_least(1)
    )
    shard_id: int = flag(
        "number of this run, from 0 (default: its rank)", 0, metavar="I", expected=at_least(0)
    )

    def problem(self) -> str | None:
        """Return a message if there is no such shard, else None."""
        problems = range_problems(replace(self, shard_id=0))
        if not problems and not 0 <= self.shard_id < self.num_shards:
            problems = [f"--shard-id {self.shard_id}: expected 0 to {self.num_shards - 1}"]
        return problems[0] if problems else None

    def select(self, blocks: Sequence[T]) -> Sequence[T]:
        """Return this shard's blocks."""
        return blocks[self.shard_id :: self.num_shards]


@dataclass(frozen=True)
class Block:
    """Consecutive samples `first` to `first + count - 1` of an epoch, stored in one file."""

    file: str
    first: int
    count: int
    epoch: int = 1


@dataclass(frozen=True)
class PlanFormat:
    """The JSON format of one kind of plan; `absent`: values of entries that a plan may lack."""

    name: str
    has_checksum: bool
    absent: dict[str, dict[str, Any]] = field(default_factory=dict)

    def completed(self, entries: dict[str, Any]) -> dict[str, Any]:
        """Return the entries, with those that are absent."""
        groups = {name: entries.get(name, {}) for name in self.absent}
        whole = {k: self.absent[k] | x for k, x in groups.items() if isinstance(x, dict)}
        return entries | whole

    def stamped(self, entries: dict[str, Any]) -> dict[str, Any]:
        """Return the entries, preceded by the format's name and version."""
        return {"format": self.name, "version": VERSION, **entries}

    def checksum(self, entries: dict[str, Any]) -> int:
        """Return the CRC-32 of a plan, by which its blocks are told from those of another one."""
        return zlib.crc32(json.dumps(self.stamped(entries), sort_keys=True).encode())

    def encode(self, entries: dict[str, Any]) -> str:
        """Return the text of `plan.json`."""
        content = self.stamped(entries)
        if self.has_checksum:
            content["checksum"] = self.checksum(entries)
        return json.dumps(content, indent=1) + "\n"

    def read(self, path: Path) -> dict[str, Any]:
        """Read the entries of a plan.

        Raises:
            ValueError: the file is not a plan of this format and version, or is corrupt.
        """
        content = read_json(path)
        if not isinstance(content, dict) or content.pop("format", None) != self.name:
            raise ValueError(f"{path}: expected a file of the format {self.name!r}, got another")
        version = content.pop("version", None)
        if version != VERSION:
            raise ValueError(f"{path}: expected version {VERSION}, got {version}: rebuild it")
        checksum = content.pop("checksum", None)
        if self.has_checksum and checksum != self.checksum(content):
            raise ValueError(f"{path}: corrupt: checksum mismatch")
        return content


def differences(stored: dict[str, Any], here: dict[str, Any], place: str) -> list[str]:
    """Return a message for every entry that differs; `place` describes `stored`."""
    messages = []
    for name in sorted(stored.keys() | here.keys()):
        a, b = stored.get(name), here.get(name)
        if a != b:
            is_long = max(len(str(a)), len(str(b))) > LONGEST_VALUE
            messages.append(f"{name} differs" if is_long else f"{name}: {a} {place}, {b} here")
    return messages


def plan_differences(stored: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """Return a message for every difference between the entries of two plans."""
    plans: list[dict[str, Any]] = json.loads(json.dumps([stored, here]))  # tuples become lists
    nested = [
        name
        for name, value in plans[1].items()
        if isinstance(value, dict) and isinstance(plans[0].get(name, {}), dict)
    ]
    pairs = [(plans[0].get(name, {}), plans[1][name]) for name in nested]
    rest = [{k.replace("_", " "): v for k, v in x.items() if k not in nested} for x in plans]
    pairs.append((rest[0], rest[1]))
    return [text for pair in pairs for text in differences(*pair, "in the folder")]


@dataclass(frozen=True)
class BlockFolder:
    """A folder that one or several runs fill with the blocks of a plan.

    Attributes:
        path: of the folder; flag: the flag that names it.
        format: of `plan.json`; plan: its entries.
        blocks: all blocks of the plan.
    """

    path: Path
    flag: str
    format: PlanFormat
    plan: dict[str, Any]
    blocks: Sequence[Block]

    def check(self) -> None:
        """Refuse a folder that is neither new nor of the same plan; change nothing.

        Raises:
            ValueError: other content, or another plan, with all differences.
        """
        paths = list(self.path.iterdir()) if self.path.is_dir() else []
        if self.path / PLAN in paths:
            plans = (self.format.read(self.path / PLAN), self.plan)
            problems = plan_differences(*map(self.format.completed, plans))
            if problems:
                raise ValueError(
                    f"{self.flag} {self.path}: the folder was started with other data or flags: "
                    f"{'; '.join(problems)}. Choose another folder, or delete this one"
                )
        elif not all(path.match(TEMPORARY_PLANS) for path in paths) or self.path.is_file():
            raise ValueError(
                f"{self.flag} {self.path}: expected a new folder, or one with a {PLAN} of this "
                "command"
            )

    def claim(self) -> None:
        """Create the folder with its plan, unless it exists.

        Raises:
            ValueError: the folder cannot be created; see also `check`.
        """
        self.check()
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise ValueError(f"{self.flag} {self.path}: cannot be created: {error}") from error
        if not (self.path / PLAN).is_file():
            write_text(self.path / PLAN, self.format.encode(self.plan), self.flag)

    def missing(self, shard: Shard | None = None, report: Report | None = None) -> list[Block]:
        """List the missing blocks of a shard (default: all); report the number of finished ones."""
        blocks = shard.select(self.blocks) if shard else self.blocks
        names = set(os.listdir(self.path)) if self.path.is_dir() else set()
        missing = [block for block in blocks if block.file not in names]
        if report and len(missing) < len(blocks):
            report(f"{len(blocks) - len(missing)} of {len(blocks)} blocks are finished already")
        return missing

    def only_run(self, shard: Shard) -> AbstractContextManager[None]:
        """Lock a shard of the claimed folder for a `with` block; see `shard_lock`."""
        from .checkpoints.shard_lock import shard_lock  # which imports fairseq

        return shard_lock(self.path, self.flag, shard.shard_id, shard.num_shards)

    def fill(
        self,
        blocks: Sequence[Block],
        compute: Callable[[Block, Advance], T],
        write: Callable[[Path, T], Any],
        progress: BlockProgress,
    ) -> None:
        """Compute and write some of the blocks, in order.

        Args:
            compute: returns the content of a block; it may report progress by its second argument.
            write: writes the content to a file, completely or not at all.
            progress: of these blocks.
        Raises:
            ValueError: a block cannot be written; the previous ones are kept.
        """
        with progress.line:
            for done, block in enumerate(blocks):
                content = compute(block, progress.advance)
                try:
                    write(self.path / block.file, content)
                except OSError as error:
                    raise ValueError(
                        f"{self.flag} {self.path}: cannot be written: {error}; {done} blocks of "
                        "this run are complete, run the same command again to continue"
                    ) from error
                progress.end_block()

    def remove_temporary_files(self) -> None:
        """Remove temporary files of killed runs, once every block is there."""
        from .checkpoints.shard_lock import LOCKS  # which imports fairseq

        ending = Path(self.blocks[0].file).suffix
        for pattern in (TEMPORARY_PLANS, f"*{ending}.*.tmp", LOCKS):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)  # another shard may have finished as well
