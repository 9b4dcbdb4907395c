"""Export translation models and language models to CTranslate2, and run them.

CTranslate2's converter calls `torch.load(weights_only=True)`, which rejects the Namespace in
fairseq's checkpoints, and expects attributes that fairseq keeps in a dict (transformer_lm). So it
gets a temporary file with a flat Namespace, which `compat` allow-lists, and the tensors.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from fairseq.data import Dictionary
from fairseq.tasks import FairseqTask

from .engines import Engine, Floats, Hypothesis, Search, tokens_of
from .loaded_model import LANGUAGE_MODELING, TRANSLATION, LoadedModel
from .sample_batches import Sample


def write(student: LoadedModel, folder: Path, quantization: str | None) -> None:
    """Convert a student.

    Args:
        folder: an existing folder for model.bin, config.json and the vocabulary.
        quantization: of the weights, as `int8`; None: keep their dtype.
    Raises:
        ValueError: CTranslate2 does not support the model; with its reason.
    """
    from ctranslate2.converters import FairseqConverter

    # within the folder, which a killed run leaves with a name that tells so; CTranslate2 empties it
    with TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as temporary:
        checkpoint = Path(temporary) / "model.pt"
        torch.save({"args": _flat(student), "model": student.info.state["model"]}, checkpoint)
        converter = FairseqConverter(str(checkpoint), str(student.data))
        try:
            converter.convert(str(folder), quantization=quantization, force=True)
        except Exception as error:  # it raises exceptions of many types
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{student.info.named}: CTranslate2 cannot convert it: {reason}"
            ) from error


def _flat(student: LoadedModel) -> argparse.Namespace:
    """Return task and model flags in one Namespace, as fairseq 0.10 stored them."""
    cfg = student.info.state["cfg"]
    values = {**cfg["task"], **cfg["model"]}
    values["arch"] = cfg["model"]["_name"]
    values["task"] = student.info.task
    if student.info.task == TRANSLATION:
        values["source_lang"] = student.task.cfg.source_lang
        values["target_lang"] = student.task.cfg.target_lang
    return argparse.Namespace(**values)


def engine(student: LoadedModel, folder: Path, search: Search, device: str) -> Engine:
    """Load an exported folder as an engine for samples of the student's task."""
    import ctranslate2

    threads = {"intra_threads": torch.get_num_threads()}
    if student.info.task == LANGUAGE_MODELING:
        generator = ctranslate2.Generator(str(folder), device=device, **threads)
        return LanguageModel(generator, student.task.source_dictionary)
    translator = ctranslate2.Translator(str(folder), device=device, **threads)
    return Translator(translator, student.task, search)


class Translator:
    """Beam search by CTranslate2."""

    def __init__(self, translator: Any, task: FairseqTask, search: Search) -> None:
        self.translator, self.task, self.search = translator, task, search
        self.source, self.target = task.source_dictionary, task.target_dictionary

    def searching(self, search: Search) -> "Translator":
        """Return an engine that runs the same loaded model with another search."""
        return Translator(self.translator, self.task, search)

    def run(self, sample: Sample) -> list[Hypothesis]:
        results = self.translator.translate_batch(
            self._sources(sample),
            beam_size=min(self.search.beam, len(self.target) - 1),
            max_decoding_length=self.search.longest,
            min_decoding_length=self.search.shortest,
            max_input_length=0,  # no limit
            return_scores=self.search.scores,
            use_vmap=self.search.shortlist,
        )
        scores = [float(r.scores[0]) if self.search.scores else math.nan for r in results]
        best = [tuple(r.hypotheses[0]) for r in results]
        return [Hypothesis(*pair) for pair in zip(best, scores, strict=True)]

    def log_probs(self, sample: Sample) -> list[Floats]:
        targets = [tokens_of(row, self.target) for row in sample["target"]]
        results = self.translator.score_batch(self._sources(sample), targets, max_input_length=0)
        return _arrays(results)

    def _sources(self, sample: Sample) -> list[list[str]]:
        return [tokens_of(row, self.source) for row in sample["net_input"]["src_tokens"]]


class LanguageModel:
    """Log-probabilities of text by CTranslate2."""

    def __init__(self, generator: Any, dictionary: Dictionary) -> None:
        self.generator, self.dictionary = generator, dictionary

    def run(self, sample: Sample) -> list[Floats]:
        pad = self.dictionary.pad()
        inputs, targets = sample["net_input"]["src_tokens"].tolist(), sample["target"].tolist()
        pairs = zip(inputs, targets, strict=True)
        # The input is the target shifted by one: the text is the first input and the target.
        texts = [[i for i in (source[0], *target) if i != pad] for source, target in pairs]
        tokens = [[self.dictionary[i] for i in text] for text in texts]
        return _arrays(self.generator.score_batch(tokens, max_input_length=0))

    def log_probs(self, sample: Sample) -> list[Floats]:
        import ctranslate2

        ids = sample["net_input"]["src_tokens"].numpy().astype(np.int32)
        lengths = sample["target"].ne(self.dictionary.pad()).sum(-1).numpy().astype(np.int32)
        arrays = map(np.ascontiguousarray, (ids, lengths))
        views = [ctranslate2.StorageView.from_array(array) for array in arrays]
        output = self.generator.forward_batch(*views, return_log_probs=True)
        lprobs = np.array(output.to_device(ctranslate2.Device.cpu), dtype=np.float32)
        return [row[:length] for row, length in zip(lprobs, lengths, strict=True)]


def _arrays(results: Sequence[Any]) -> list[Floats]:
    return [np.array(result.log_probs, dtype=np.float32) for result in results]
