"""Score a model on a split by the task's metric, to see what quantization costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from fairseq.data import Dictionary
from fairseq.data.data_utils import post_process
from scipy.stats import pearsonr

from ..evaluation.text_scores import score
from .engines import Engine, Search, fairseq_engine, tokens_of
from .loaded_model import CLASSIFICATION, EMBEDDING, LANGUAGE_MODELING, TRANSLATION, LoadedModel
from .sample_batches import Sample

SCORED_TASKS = (TRANSLATION, LANGUAGE_MODELING, CLASSIFICATION, EMBEDDING)


@dataclass(frozen=True)
class Quality:
    """A score: `BLEU`, `accuracy`, `Pearson` or `cosine` (0 to 100), or `ppl` (lower is better).

    `ppl` is per token; `cosine` is the mean of embeddings with fairseq's.
    """

    name: str
    score: float

    def drop_to(self, other: "Quality") -> float:
        """Return the drop from this score to `other`, in points; for ppl, its rise in percent."""
        if self.name == "ppl":
            return 100 * (other.score / self.score - 1)
        return self.score - other.score


@dataclass(frozen=True)
class Labels:
    """Labeled samples of a split, to score engines on; see `score_outputs`."""

    student: LoadedModel
    subset: str
    samples: Sequence[Sample]
    remove_bpe: str | None
    references: Sequence[Sequence[str]]

    def quality(self, batch_outputs: Sequence[Sequence[Any]]) -> Quality:
        """Score the outputs of all batches."""
        return score_outputs(
            self.student, batch_outputs, self.samples, self.remove_bpe, self.references
        )

    def quality_of(self, engine: Engine) -> Quality:
        """Run an engine and score its outputs."""
        return self.quality([engine.run(sample) for sample in self.samples])

    def bleu(self, texts: Sequence[str], is_tokenized: bool) -> float:
        """Score translations, in the order of the samples.

        Args:
            is_tokenized: they consist of the student's tokens.
        """
        kind = self.remove_bpe or subwords_of(self.student.task.target_dictionary)
        if is_tokenized:
            texts = [post_process(text, kind) for text in texts]
        return score_texts(self.student, texts, self.samples, kind, self.references)

    @property
    def basis(self) -> str:
        """What a score is of."""
        if self.student.info.task == EMBEDDING:  # both sentences of a pair
            return f"{sum(len(x['id']) for x in self.samples):,} sentences of {self.subset}"
        count = sum(int(sample["nsentences"]) for sample in self.samples)
        return basis_of(self.student, self.subset, count, self.references)


def score_outputs(
    student: LoadedModel,
    batch_outputs: Sequence[Sequence[Any]],
    samples: Sequence[Sample],
    remove_bpe: str | None,
    references: Sequence[Sequence[str]] = (),
) -> Quality:
    """Score the outputs of an engine on labeled samples.

    BLEU is that of `lightpaff evaluate` if the samples are the whole split and `references` are
    its raw text.

    Args:
        batch_outputs: per batch, as `Engine.run` returns them.
        remove_bpe: fairseq's flag, for BLEU of words; None: see `subwords_of`.
        references: for BLEU, the lines of the whole split, per set; none: the samples' targets.
    Raises:
        ValueError: the samples have no targets.
    """
    if student.info.task == EMBEDDING:
        return Quality("cosine", _mean_cosine(student, batch_outputs, samples))
    if any(sample.get("target") is None for sample in samples):
        raise ValueError(f"--gen-subset: expected targets in --data {student.data}, got none")
    task = student.info.task
    if task == TRANSLATION:
        return Quality("BLEU", _bleu(student, batch_outputs, samples, remove_bpe, references))
    if task == LANGUAGE_MODELING:
        lprobs = np.concatenate([x for batch in batch_outputs for x in batch])
        return Quality("ppl", float(np.exp(-lprobs.mean(dtype=np.float64))))
    outputs = np.concatenate([np.asarray(batch) for batch in batch_outputs])
    targets = np.concatenate([sample["target"].view(-1).numpy() for sample in samples])
    if student.has_classes:
        return Quality("accuracy", 100 * float((outputs.argmax(-1) == targets).mean()))
    return Quality("Pearson", 100 * float(pearsonr(outputs[:, 0], targets)[0]))


def _mean_cosine(
    student: LoadedModel, batch_outputs: Sequence[Sequence[Any]], samples: Sequence[Sample]
) -> float:
    """Return the mean cosine of embeddings with fairseq's, times 100."""
    engine = fairseq_engine(student, Search(), "cpu")
    cosines = [
        np.sum(np.asarray(engine.run(sample)) * np.asarray(outputs), -1)  # they are normalized
        for sample, outputs in zip(samples, batch_outputs, strict=True)
    ]
    return 100 * float(np.concatenate(cosines).mean(dtype=np.float64))


def _bleu(
    student: LoadedModel,
    batch_outputs: Sequence[Sequence[Any]],
    samples: Sequence[Sample],
    remove_bpe: str | None,
    references: Sequence[Sequence[str]],
) -> float:
    kind = remove_bpe or subwords_of(student.task.target_dictionary)
    lines = [" ".join(hypothesis.tokens) for batch in batch_outputs for hypothesis in batch]
    texts = [post_process(line, kind) for line in lines]
    return score_texts(student, texts, samples, kind, references)


def score_texts(
    student: LoadedModel,
    texts: Sequence[str],
    samples: Sequence[Sample],
    remove_bpe: str,
    references: Sequence[Sequence[str]] = (),
) -> float:
    """Return BLEU of translations in the order of the samples; see `score_outputs`."""
    dictionary = student.task.target_dictionary
    if references:
        order = [int(i) for sample in samples for i in sample["id"]]
        targets = [[lines[i] for i in order] for lines in references]
    else:
        rows = [row for sample in samples for row in sample["target"]]
        lines = [" ".join(tokens_of(row, dictionary)) for row in rows]
        targets = [[post_process(line, remove_bpe) for line in lines]]
    return float(score(texts, targets, ["bleu"])["bleu"])


def basis_of(
    student: LoadedModel, subset: str, count: int, references: Sequence[Sequence[str]] = ()
) -> str:
    """Describe what a score is of: `the first 500 of 1,003 sentences of test, against ...`.

    Args:
        count: scored sentences of the split, from its beginning.
        references: see `score_outputs`.
    """
    total = len(student.task.dataset(subset))
    unit = "blocks" if student.info.task == LANGUAGE_MODELING else "sentences"
    text = f"the {total:,}" if count == total else f"the first {count:,} of {total:,}"
    text += f" {unit} of {subset}"
    if student.info.task != TRANSLATION:
        return text
    return f"{text}, against {'--references' if references else 'its binarized target'}"


def subwords_of(dictionary: Dictionary) -> str:
    """Return the --remove-bpe that fits a dictionary: sentencepiece, subword_nmt or none."""
    ordinary = dictionary.symbols[dictionary.nspecial :]
    if any(symbol.startswith("\u2581") for symbol in ordinary):
        return "sentencepiece"
    return "subword_nmt" if any(symbol.endswith("@@") for symbol in ordinary) else "none"
