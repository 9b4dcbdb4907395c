"""The two JSON files of a cache: the plan, written first, and the header, written last.

`plan.json` says what is being built, so that a later run, or another shard, continues the same
thing. `cache.json` is the plan with the list of blocks; it exists only when every block does, and a
folder without it is not a cache.
"""

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .layout import Layout

FORMAT, VERSION = "lightpaff teacher cache", 1
PLAN, HEADER = "plan.json", "cache.json"


@dataclass(frozen=True)
class Plan:
    """What a cache holds.

    Attributes:
        layout: of a record.
        data: the fingerprint of the data, which training must have, too: names and values.
        teacher: of what the outputs were computed with.
        epochs: of masks; 0: samples are the same in every epoch.
        max_positions: the longest samples that were asked of the teacher, as fairseq states them.
        bounds: first sample of every block of an epoch, and, last, the number of samples.
    """

    layout: Layout
    data: dict[str, Any]
    teacher: dict[str, Any]
    epochs: int
    max_positions: Any
    bounds: list[int]

    @property
    def blocks(self) -> list[tuple[int, int, int]]:
        """(epoch, first sample, number of samples) of every block, in order."""
        spans = list(zip(self.bounds, self.bounds[1:], strict=False))
        return [(e, a, b - a) for e in range(1, max(1, self.epochs) + 1) for a, b in spans]


def block_name(epoch: int, first: int) -> str:
    """The file of a block."""
    return f"epoch{epoch:04d}-{first:010d}.bin"


@dataclass(frozen=True)
class Contents:
    """What a finished cache turned out to hold: positions a block, and samples left out."""

    positions: list[int]
    skipped: int


def as_text(plan: Plan, contents: Contents | None = None) -> str:
    """The plan, or with its contents the header, as JSON."""
    content = {"format": FORMAT, "version": VERSION, **asdict(plan)}
    content["contents"] = contents and asdict(contents)
    content["checksum"] = _checksum(content)
    return json.dumps(content, indent=1) + "\n"


def _checksum(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def read_plan(path: Path) -> tuple[Plan, Contents | None]:
    """A plan, or a header with its contents.

    Raises:
        ValueError: it is not one, of another version, or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError("no cache of a teacher")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a {FORMAT}: {error}") from error
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path}: expected version {VERSION}, found {content.get('version')}: build it anew"
        )
    if content.pop("checksum", None) != _checksum(content):
        raise ValueError(f"{path}: damaged (it does not have its checksum)")
    contents = content.pop("contents")
    del content["format"], content["version"]
    layout = Layout(**content.pop("layout"))
    return Plan(layout=layout, **content), contents and Contents(**contents)


def is_free(folder: Path) -> bool:
    """Whether a folder holds nothing but, perhaps, a plan that is being written (or that was, by a
    run that was killed): shards may begin at once."""
    return all(path.match(f"{PLAN}.*.tmp") for path in folder.iterdir())


def plan_differences(theirs: Plan, ours: Plan) -> list[str]:
    """Every difference between a cache's plan and another one, in words."""
    plans = [json.loads(json.dumps(asdict(plan))) for plan in (theirs, ours)]  # tuples are lists
    nested = ("data", "teacher", "layout")
    rest = [{k.replace("_", " "): v for k, v in x.items() if k not in nested} for x in plans]
    parts = [differences(plans[0][name], plans[1][name]) for name in nested]
    return [text for part in (*parts, differences(rest[0], rest[1])) for text in part]


def differences(
    cache: dict[str, Any], here: dict[str, Any], place: str = "in the cache"
) -> list[str]:
    """Every entry in which two fingerprints differ, in words; `place`: where the first one is."""
    found = []
    for name in sorted(cache.keys() | here.keys()):
        a, b = cache.get(name), here.get(name)
        if a != b:
            long = max(len(str(a)), len(str(b))) > 200
            found.append(f"{name} differs" if long else f"{name}: {a} {place}, {b} here")
    return found
