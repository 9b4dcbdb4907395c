"""Score a model on a split by the task's metric, to see what quantization costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fairseq.data import Dictionary
from fairseq.data.data_utils import post_process
from sacrebleu.metrics import BLEU
from scipy.stats import pearsonr

from .engines import tokens_of
from .loaded_model import CLASSIFICATION, LANGUAGE_MODELING, TRANSLATION, LoadedModel
from .sample_batches import Sample

SCORED_TASKS = (TRANSLATION, LANGUAGE_MODELING, CLASSIFICATION)


@dataclass(frozen=True)
class Quality:
    """A score: `BLEU`, `accuracy` or `Pearson` (0 to 100), or `ppl` per token (lower is better)."""

    name: str
    score: float

    def drop_to(self, other: "Quality") -> float:
        """Return the drop from this score to `other`, in points; for ppl, its rise in percent."""
        if self.name == "ppl":
            return 100 * (other.score / self.score - 1)
        return self.score - other.score


def score_outputs(
    student: LoadedModel,
    batch_outputs: Sequence[Sequence[Any]],
    samples: Sequence[Sample],
    remove_bpe: str | None,
) -> Quality:
    """Score the outputs of an engine on labeled samples.

    Args:
        batch_outputs: per batch, as `Engine.run` returns them.
        remove_bpe: fairseq's flag, for BLEU of words; None: see `subwords_of`.
    Raises:
        ValueError: the samples have no targets.
    """
    if any(sample.get("target") is None for sample in samples):
        raise ValueError(f"--gen-subset: expected targets in --data {student.data}, got none")
    task = student.info.task
    if task == TRANSLATION:
        dictionary = student.task.target_dictionary
        remove_bpe = remove_bpe or subwords_of(dictionary)
        hypotheses = [hypothesis.tokens for batch in batch_outputs for hypothesis in batch]
        references = [tokens_of(row, dictionary) for sample in samples for row in sample["target"]]
        texts = [
            [post_process(" ".join(tokens), remove_bpe) for tokens in sentences]
            for sentences in (hypotheses, references)
        ]
        return Quality("BLEU", BLEU().corpus_score(texts[0], [texts[1]]).score)
    if task == LANGUAGE_MODELING:
        lprobs = np.concatenate([x for batch in batch_outputs for x in batch])
        return Quality("ppl", float(np.exp(-lprobs.mean(dtype=np.float64))))
    outputs = np.concatenate([np.asarray(batch) for batch in batch_outputs])
    targets = np.concatenate([sample["target"].view(-1).numpy() for sample in samples])
    if student.has_classes:
        return Quality("accuracy", 100 * float((outputs.argmax(-1) == targets).mean()))
    return Quality("Pearson", 100 * float(pearsonr(outputs[:, 0], targets)[0]))


def subwords_of(dictionary: Dictionary) -> str:
    """Return the --remove-bpe that fits a dictionary: sentencepiece, subword_nmt or none."""
    ordinary = dictionary.symbols[dictionary.nspecial :]
    if any(symbol.startswith("\u2581") for symbol in ordinary):
        return "sentencepiece"
    return "subword_nmt" if any(symbol.endswith("@@") for symbol in ordinary) else "none"
