"""What a folder of hypotheses holds: of which data, of which teacher, decoded how.

The plan is written before the first block, so that a later run, or another shard, continues the
same thing and nothing else.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..checkpoints.output_file import write_json
from ..teachers.cache.header import PLAN, differences, is_free

FORMAT, VERSION = "lightpaff hypotheses", 1


@dataclass(frozen=True)
class Plan:
    """What is decoded.

    Attributes:
        data: fingerprint of the data; teacher: of the models; generation: flags of the search.
        sentences: number of sources; block_size: sources a file.
    """

    data: dict[str, Any]
    teacher: dict[str, Any]
    generation: dict[str, Any]
    sentences: int
    block_size: int

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """(first source, number of sources) of every block."""
        starts = range(0, self.sentences, self.block_size)
        return [(first, min(self.block_size, self.sentences - first)) for first in starts]


def block_name(first: int) -> str:
    """The file of the block that begins with this source."""
    return f"hypotheses-{first:010d}.npz"


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan in plain values."""
    return {"format": FORMAT, "version": VERSION, **asdict(plan)}


def claim(folder: Path, plan: Plan) -> None:
    """Makes a folder of hypotheses, or checks that it is one of the same plan.

    Raises:
        ValueError: it cannot be made; see `check_claim`.
    """
    check_claim(folder, plan)
    try:
        folder.mkdir(exist_ok=True)
        if not (folder / PLAN).is_file():
            write_json(folder / PLAN, as_json(plan), "--hypotheses")
    except OSError as error:
        raise ValueError(f"--hypotheses {folder}: cannot be written: {error}") from error


def check_claim(folder: Path, plan: Plan) -> None:
    """Checks that a folder is new, or one of the same plan; changes nothing.

    Raises:
        ValueError: it holds something else, or lists every difference.
    """
    if not (folder / PLAN).is_file():
        if folder.exists() and not (folder.is_dir() and is_free(folder)):
            raise ValueError(f"--hypotheses {folder}: expected a new folder, or one of seq-kd")
        return
    found = plan_differences(_read(folder / PLAN), as_json(plan))
    if found:
        raise ValueError(
            f"--hypotheses {folder}: holds hypotheses of something else: {'; '.join(found)}. Name "
            "another folder, or delete this one"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError("no plan of seq-kd")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a plan of {FORMAT}: {error}") from error
    return content


def plan_differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Every difference between two plans in plain values, in words."""
    ours = json.loads(json.dumps(ours))  # tuples and the like, as the file has them
    nested = ("data", "teacher", "generation")
    found = []
    for name in nested:
        found += differences(theirs.get(name, {}), ours[name], "in the folder")
    rest = [{k: v for k, v in plan.items() if k not in nested} for plan in (theirs, ours)]
    return found + differences(rest[0], rest[1], "in the folder")
