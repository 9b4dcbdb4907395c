"""A corpus in several folders, DATA `data1:data2:...`: fairseq reads one of them per epoch."""

import os
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import Any

from fairseq import utils


def data_shards(data: Any) -> list[str]:
    """Return the folders of DATA: epoch e, from 1, trains on number (e - 1) % n, from 0."""
    return list(utils.split_paths(str(data)))


def shard_names(name: str, data: Any) -> list[str]:
    """Return names for what is made of DATA: `name`, or `name1`, `name2`, ... for its folders."""
    count = len(data_shards(data))
    return [name] if count == 1 else [f"{name}{i}" for i in range(1, count + 1)]


def data_of(task: Any) -> str:
    """Return the DATA of a task, "" for one without; older tasks keep their flags as `args`."""
    flags = getattr(task, "cfg", None) or getattr(task, "args", None)
    return str(getattr(flags, "data", None) or "")


def folder_per_shard(flag: str, value: Any, data: Any) -> list[Path]:
    """Return the folders of a flag, one per folder of DATA and in the same order.

    Raises:
        ValueError: their number differs, or a name is empty or occurs twice.
    """
    names, count = str(value).split(":"), len(data_shards(data))
    if len(names) != count:
        several = f"{count} folders joined by colons, as many as DATA has"
        expected = several if count > 1 else "one folder, as DATA is one"
        raise ValueError(f"{flag} {value}: expected {expected}, got {len(names)}")
    if "" in names or len({*names}) < len(names):
        raise ValueError(f"{flag} {value}: expected different folders, joined by one colon")
    return [Path(name) for name in names]


def absolute_shards(value: Any) -> str:
    """Return paths joined by colons as absolute ones; an address with `://` as it is."""
    text = str(value)
    if "://" in text:
        return text
    return ":".join(str(Path(part).absolute()) for part in text.split(":"))


def shards_problem(flag: str, value: Any) -> str | None:
    """Return a message unless a flag names different folders that exist, joined by colons."""
    folders = data_shards(value)
    if "" in folders or len({*map(os.path.realpath, folders)}) < len(folders):
        return f"{flag} {value}: expected different folders, joined by one colon"
    missing = [folder for folder in folders if not Path(folder).is_dir()]
    return f"{flag} {missing[0]}: no such folder" if missing else None


def data_problem(data: Any) -> str | None:
    """Return a message if a folder of DATA does not exist, else None."""
    missing = [folder for folder in data_shards(data) if not Path(folder).is_dir()]
    if missing:
        return f"{missing[0]}: no such folder (expected binarized data)"
    return None


def one_folder_problem(data: Any) -> str | None:
    """Return a message if DATA is not one folder, for commands that take no sharded corpus."""
    if len(data_shards(data)) > 1:
        return f"{data}: expected one folder, got several"
    return data_problem(data)


def split_problems(data: str, split: str) -> Iterator[str]:
    """Yield a message for every folder of a sharded DATA that has no files of a split.

    fairseq itself opens a folder when its epoch begins.
    """
    folders = data_shards(data)
    for folder in map(Path, folders) if len(folders) > 1 else ():
        if folder.is_dir() and not any(folder.glob(f"{escape(split)}.*")):
            yield f"DATA {folder}: expected files {split}.*, got none"
