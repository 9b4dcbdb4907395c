"""The training pairs of a translation model, from a folder of fairseq-preprocess or seq-kd."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import ConcatDataset, Dictionary
from numpy.typing import NDArray

from ..checkpoints.dictionaries import dictionary_problems, first_difference, set_up_in
from ..data_shards import data_shards
from ..problems import Problems, reason_of
from .loaded_model import LoadedModel

SPLIT = "train"
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingPairs:
    """Pairs of sentences as token ids.

    Attributes:
        source, target: their dictionaries.
        sides: fairseq's data sets of the sources and of the targets.
    """

    source: Dictionary
    target: Dictionary
    sides: tuple[Any, Any]

    def __len__(self) -> int:
        return len(self.sides[0])

    def sentences(self, limit: int) -> Iterator[tuple[Ids, Ids]]:
        """Yield `(S,)` and `(T,)` ids without eos of `limit` pairs, evenly spaced, or of all."""
        for i in np.linspace(0, len(self), min(limit, len(self)), endpoint=False, dtype=np.int64):
            source, target = (np.asarray(side[i], dtype=np.int64) for side in self.sides)
            yield source[source != self.source.eos()], target[target != self.target.eos()]


def load_pairs(student: LoadedModel, data: Path, flag: str) -> TrainingPairs:
    """Open the training pairs of a folder, or of several.

    Args:
        data: the folders, joined by colons; flag: names them.
    Raises:
        ValueError: there are none, their numbers of sources and targets differ, or their
            dictionaries are not the model's.
    """
    named, cfg = f"{flag} {data}", student.task.cfg
    languages = {"source_lang": cfg.source_lang, "target_lang": cfg.target_lang}
    section = {**student.info.state["cfg"]["task"], **languages}
    task: Any = set_up_in(section, data)
    if task is None:
        names = " and ".join(student.dictionary_files())
        raise ValueError(f"{named}: expected a folder with {names}, got none")
    problems = Problems()
    for side in ("source", "target"):
        own, other = (getattr(each, f"{side}_dictionary") for each in (student.task, task))
        difference = first_difference(own, other, ("model's", "data here"))
        problems.unless(
            not difference,
            f"{named}: expected the {side} dictionary of {student.info.named}, got another: "
            f"{difference}",
        )
    problems.extend(dictionary_problems(str(data), flag))
    problems.raise_if_any()
    parts = [
        _load_part(task, f"{flag} {folder}", epoch)
        for epoch, folder in enumerate(data_shards(data), 1)
    ]
    sides = ConcatDataset([x.src for x in parts]), ConcatDataset([x.tgt for x in parts])
    return TrainingPairs(task.source_dictionary, task.target_dictionary, sides)


def _load_part(task: Any, named: str, epoch: int) -> Any:
    """Return fairseq's data set of the folder that an epoch reads."""
    cfg = task.cfg
    pair = f"{SPLIT}.{cfg.source_lang}-{cfg.target_lang}"
    expected = f"{named}: expected training pairs ({pair}.{cfg.source_lang}, .{cfg.target_lang})"
    try:
        task.load_dataset(SPLIT, epoch=epoch, combine=True)
    except Exception as error:  # fairseq raises exceptions of many types
        raise ValueError(f"{expected}: {reason_of(error)}") from error
    dataset = task.dataset(SPLIT)
    if dataset.tgt is None or not len(dataset):
        raise ValueError(f"{expected}, got {'sources only' if len(dataset) else 'an empty split'}")
    return dataset
