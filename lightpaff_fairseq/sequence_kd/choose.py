"""Choose the hypotheses that become training data."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fairseq.data import Dictionary

from ..evaluation.text_scores import sentence_scorer
from .corpus import Corpus, Tokens
from .hypotheses import Hypothesis

SCORE, REFERENCE = "score", "reference"
BLEU, CHRF = "bleu", "chrf"
TOO_LONG, EMPTY, CUT = "source too long", "empty", "cut at the length limit"
FOREIGN, RATIO = "special symbols or language tokens inside", "length ratio"  # stored in the report

Similarity = Callable[[Tokens, Tokens], float]


@dataclass(frozen=True)
class Choice:
    """Rules for choosing among the hypotheses of a source; stored in the report.

    Attributes:
        by: `score` takes the generator's best, `reference` those most similar to the reference.
        nbest: number of hypotheses per source.
        min_ratio, max_ratio: bounds of hypothesis length / source length in tokens without eos;
            0: no bound.
        keep_cut: keep hypotheses that were cut at the length limit.
    """

    by: str = SCORE
    nbest: int = 1
    min_ratio: float = 0.0
    max_ratio: float = 0.0
    keep_cut: bool = False


def similarity(metric: str, dictionary: Dictionary, post_process: str | None) -> Similarity:
    """Return a function that scores (hypothesis, reference) by sentence BLEU or chrF.

    BLEU is sacrebleu's sentence BLEU (exponential smoothing, effective order), of words tokenized
    by 13a after --post-process; without --post-process, of the dictionary's tokens.
    """
    score = sentence_scorer(metric, is_text=bool(post_process))

    def compare(hypothesis: Tokens, reference: Tokens) -> float:
        return score(*(dictionary.string(x, post_process) for x in (hypothesis, reference)))

    return compare


class Chooser:
    """The training targets of every source; counts dropped hypotheses by reason.

    Args:
        choice: the rules; dictionary: of the targets, as in its file.
        corpus: with the references; similar: compares with them, for `--choose reference`.
    """

    def __init__(
        self, choice: Choice, dictionary: Dictionary, corpus: Corpus, similar: Similarity
    ) -> None:
        self.choice, self.corpus, self.similar = choice, corpus, similar
        self._size = len(dictionary)
        self._special = {dictionary.bos(), dictionary.pad(), dictionary.eos()}
        self.dropped: Counter[str] = Counter()

    def targets(self, index: int, hypotheses: Sequence[Hypothesis]) -> list[Tokens]:
        """Return the targets of source `index`, `(T,)` tokens without eos each."""
        if not hypotheses:
            self.dropped[TOO_LONG] += 1
        length = len(self.corpus.source(index)) - 1
        targets = []
        for hypothesis in self._best(index, hypotheses):
            reason = self._drop_reason(hypothesis, length)
            if reason:
                self.dropped[reason] += 1
            else:
                targets.append(hypothesis.tokens)
        return targets

    def _best(self, index: int, hypotheses: Sequence[Hypothesis]) -> Sequence[Hypothesis]:
        if self.choice.by == REFERENCE and hypotheses:
            reference = self.corpus.reference(index)[:-1]
            scores = [self.similar(x.tokens, reference) for x in hypotheses]
            order = sorted(range(len(scores)), key=lambda i: -scores[i])  # stable: then by score
            hypotheses = [hypotheses[i] for i in order]
        return hypotheses[: self.choice.nbest]

    def _drop_reason(self, hypothesis: Hypothesis, source_length: int) -> str | None:
        tokens, choice = hypothesis.tokens, self.choice
        if not len(tokens):
            return EMPTY
        if hypothesis.cut and not choice.keep_cut:
            return CUT
        if tokens.max() >= self._size or self._special & set(tokens.tolist()):
            return FOREIGN
        ratio = len(tokens) / max(1, source_length)
        if ratio < choice.min_ratio or (choice.max_ratio and ratio > choice.max_ratio):
            return RATIO
        return None
