"""How good a model is on a split, in the task's own measure: what quantization may cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fairseq.data.data_utils import post_process
from sacrebleu.metrics import BLEU
from scipy.stats import pearsonr

from .engines import Engine, Hypothesis
from .loaded_model import CLASSIFICATION, LANGUAGE_MODELING, TRANSLATION, LoadedModel
from .sample_batches import Sample

MEASURED = (TRANSLATION, LANGUAGE_MODELING, CLASSIFICATION)


@dataclass(frozen=True)
class Quality:
    """A score: `BLEU`, `accuracy` or `Pearson` (0 to 100), or `ppl` (a token; lower is better)."""

    name: str
    score: float

    def drop_to(self, other: "Quality") -> float:
        """What is lost from this to `other`: points; of a perplexity, percent more of it."""
        if self.name == "ppl":
            return 100 * (other.score / self.score - 1)
        return self.score - other.score


def measure(
    student: LoadedModel, engine: Engine, samples: Sequence[Sample], remove_bpe: str | None
) -> Quality:
    """Runs a model over labeled samples and scores it; see `score_answers`."""
    answers = [engine.run(sample) for sample in samples]
    return score_answers(student, answers, samples, remove_bpe)


def score_answers(
    student: LoadedModel,
    answers: Sequence[Sequence[Any]],
    samples: Sequence[Sample],
    remove_bpe: str | None,
) -> Quality:
    """Scores what an engine answered.

    Args:
        answers: a batch each, as `Engine.run` gives them.
        remove_bpe: as fairseq's, for translation: BLEU is of words; None: see `subwords_of`.
    Raises:
        ValueError: the samples have no targets.
    """
    if any(sample.get("target") is None for sample in samples):
        raise ValueError(f"--gen-subset: expected targets in --data {student.data}, found none")
    task = student.info.task
    if task == TRANSLATION:
        dictionary = student.task.target_dictionary
        remove_bpe = remove_bpe or subwords_of(dictionary)
        found = [_text(x, remove_bpe) for batch in answers for x in batch]
        skipped = (dictionary.pad(), dictionary.eos())
        rows = [row.tolist() for sample in samples for row in sample["target"]]
        kept = [tuple(dictionary[i] for i in row if i not in skipped) for row in rows]
        expected = [_text(Hypothesis(symbols, 0.0), remove_bpe) for symbols in kept]
        return Quality("BLEU", BLEU().corpus_score(found, [expected]).score)
    if task == LANGUAGE_MODELING:
        lprobs = np.concatenate([x for batch in answers for x in batch])
        return Quality("ppl", float(np.exp(-lprobs.mean(dtype=np.float64))))
    outputs = np.concatenate([np.asarray(batch) for batch in answers])
    targets = np.concatenate([sample["target"].view(-1).numpy() for sample in samples])
    if student.task.cfg.regression_target:
        return Quality("Pearson", 100 * float(pearsonr(outputs[:, 0], targets)[0]))
    return Quality("accuracy", 100 * float((outputs.argmax(-1) == targets).mean()))


def subwords_of(dictionary: Any) -> str:
    """What --remove-bpe a dictionary's symbols ask for: sentencepiece, subword_nmt or none."""
    ordinary = dictionary.symbols[dictionary.nspecial :]
    if any(symbol.startswith("\u2581") for symbol in ordinary):
        return "sentencepiece"
    return "subword_nmt" if any(symbol.endswith("@@") for symbol in ordinary) else "none"


def _text(hypothesis: Hypothesis, remove_bpe: str | None) -> str:
    text: str = post_process(" ".join(hypothesis.symbols), remove_bpe)
    return text
