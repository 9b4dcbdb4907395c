"""The training pairs of a translation model, from a folder of fairseq-preprocess or seq-kd."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import Dictionary
from numpy.typing import NDArray

from ..checkpoints.dictionaries import first_difference, set_up_in
from ..problems import Problems, reason_of
from .loaded_model import LoadedModel

SPLIT = "train"
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingPairs:
    """Pairs of sentences as token ids.

    Attributes:
        folder: their folder; `source`, `target`: their dictionaries.
        dataset: fairseq's data set of the pairs.
    """

    folder: Path
    source: Dictionary
    target: Dictionary
    dataset: Any

    def __len__(self) -> int:
        return len(self.dataset)

    def sentences(self, limit: int) -> Iterator[tuple[Ids, Ids]]:
        """Yield `(S,)` and `(T,)` ids without eos of `limit` pairs, evenly spaced, or of all."""
        for i in np.linspace(0, len(self), min(limit, len(self)), endpoint=False, dtype=np.int64):
            pair = self.dataset.src[i], self.dataset.tgt[i]
            source, target = (np.asarray(ids, dtype=np.int64) for ids in pair)
            yield source[source != self.source.eos()], target[target != self.target.eos()]


def load_pairs(student: LoadedModel, folder: Path, flag: str) -> TrainingPairs:
    """Open the training pairs of a folder.

    Args:
        flag: the flag that names the folder.
    Raises:
        ValueError: there are none, their numbers of sources and targets differ, or their
            dictionaries are not the model's.
    """
    named, cfg = f"{flag} {folder}", student.task.cfg
    languages = {"source_lang": cfg.source_lang, "target_lang": cfg.target_lang}
    section = {**student.info.state["cfg"]["task"], **languages}
    task: Any = set_up_in(section, folder)
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
    problems.raise_if_any()
    pair = f"{SPLIT}.{cfg.source_lang}-{cfg.target_lang}"
    expected = f"{named}: expected training pairs ({pair}.{cfg.source_lang}, .{cfg.target_lang})"
    try:
        task.load_dataset(SPLIT, combine=True)
    except Exception as error:  # fairseq raises exceptions of many types
        raise ValueError(f"{expected}: {reason_of(error)}") from error
    dataset = task.dataset(SPLIT)
    if dataset.tgt is None or not len(dataset):
        raise ValueError(f"{expected}, got {'sources only' if len(dataset) else 'an empty split'}")
    return TrainingPairs(folder, task.source_dictionary, task.target_dictionary, dataset)
