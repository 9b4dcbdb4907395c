"""Give a text to fairseq's task: binarize it, load it, return the ids that the model reads."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from fairseq.data import Dictionary, indexed_dataset

from ..checkpoints.building import value_of
from ..checkpoints.dictionaries import set_up_in
from ..models.bert import token_types

LANGUAGE_MODELING, SENTENCE_PREDICTION = "language_modeling", "sentence_prediction"


@dataclass(frozen=True)
class Reading:
    """The ids that a model is given for a text.

    Attributes:
        source: of the encoder, or of a model without decoder.
        decoder: the first ids and all others that the decoder reads; empty if there is none.
        segments: of each token of a sentence pair; empty if the model has none.
    """

    source: list[int]
    decoder: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class FairseqText:
    """How a fairseq checkpoint gets its text.

    Attributes:
        cfg: its configuration; folder: with its dictionaries.
        encoders: functions text -> tokens separated by spaces, of `source` and `target`.
        dictionaries: of both.
        order: the Hugging Face id of each token of the dictionary; others keep their number.
        pair: source and target language.
    """

    cfg: Any
    folder: Path
    dictionaries: Mapping[str, Dictionary]
    encoders: Mapping[str, Callable[[str], str]]
    order: Sequence[int]
    pair: tuple[str, str]

    @property
    def task(self) -> str:
        """Return the name of the task."""
        return str(self.cfg.task._name)

    @property
    def eos(self) -> int:
        """Return the Hugging Face id of `</s>`."""
        return self.hf_ids([2])[0]

    def hf_ids(self, ids: Sequence[int]) -> list[int]:
        """Return the Hugging Face ids of fairseq's."""
        return [self.order[i] if i < len(self.order) else i for i in ids]

    def in_hf(self, reading: Reading) -> Reading:
        """Return what fairseq's task reads with Hugging Face's ids."""
        source, decoder = self.hf_ids(reading.source), self.hf_ids(reading.decoder)
        return replace(reading, source=source, decoder=decoder)

    def read(self, text: str, second: str | None = None) -> Reading:
        """Binarize a text as fairseq-preprocess does, and load it with the task; fairseq's ids.

        Args:
            second: the other sentence of a pair, for `sentence_prediction`.
        """
        with tempfile.TemporaryDirectory() as name:
            data = Path(name)
            for path in (*self.folder.glob("dict*.txt"), *self.folder.glob("*/dict*.txt")):
                copy = data / path.relative_to(self.folder)
                copy.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, copy)
            files = _files(data, self.task, self.pair)
            if second is not None:
                files[data / "input1" / "text"] = "source"
                (data / "input1").mkdir()
            for prefix, side in files.items():
                line = second if second and prefix.parent.name == "input1" else text
                dictionary = self.dictionaries[side]
                ids = dictionary.encode_line(self.encoders[side](line), add_if_not_exist=False)
                builder = indexed_dataset.make_builder(f"{prefix}.bin", "mmap", len(dictionary))
                builder.add_item(ids.long())
                builder.finalize(f"{prefix}.idx")
            task: Any = set_up_in(self.cfg.task, data)
            task.load_dataset("text")
            dataset = task.dataset("text")
            sample = dataset.collater([dataset[0]])
        source = sample["net_input"]["src_tokens"][0]
        if self.task == "masked_lm":  # take the masks off
            target = sample["target"][0]
            source = torch.where(target == task.source_dictionary.pad(), source, target)
        previous = sample["net_input"].get("prev_output_tokens")
        decoder = [] if previous is None else previous[0].tolist()
        has_segments = second is not None and value_of(self.cfg.model, "token_types")
        segments = token_types(source[None])[0].tolist() if has_segments else []
        return Reading(source.tolist(), decoder, segments)


def _files(data: Path, task: str, pair: tuple[str, str]) -> dict[Path, str]:
    """Return where the task looks for a split called `text`, and the side of each file."""
    if task.startswith("translation"):
        names = zip(pair, ("source", "target"), strict=True)
        return {data / f"text.{pair[0]}-{pair[1]}.{language}": side for language, side in names}
    folder = data / "input0" if task == SENTENCE_PREDICTION else data
    return {folder / "text": "source"}
