"""Which hypotheses become training data, and which are dropped."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .corpus import Corpus, Symbols
from .store import Answer, Hypothesis

SCORE, REFERENCE = "score", "reference"
BLEU, CHRF = "bleu", "chrf"
TOO_LONG, EMPTY, CUT = "source too long", "empty", "cut at the length limit"
FOREIGN, RATIO = "special symbols or language tokens inside", "length ratio"

Similarity = Callable[[Symbols, Symbols], float]


@dataclass(frozen=True)
class Choice:
    """What is taken of the hypotheses of a source.

    Attributes:
        by: `score` takes the generator's best, `reference` the most similar to the reference.
        nbest: how many.
        min_ratio, max_ratio: bounds of hypothesis length / source length in symbols without eos;
            0: no bound.
        keep_cut: keep hypotheses that the length limit ended.
    """

    by: str = SCORE
    nbest: int = 1
    min_ratio: float = 0.0
    max_ratio: float = 0.0
    keep_cut: bool = False


def similarity(metric: str, dictionary: Any, post_process: str | None) -> Similarity:
    """Sentence BLEU or chrF of a hypothesis, given the reference; larger is more similar.

    BLEU is sacrebleu's of a sentence (exponential smoothing; orders of n-grams that the sentence
    does not have are left out), of the words that --post-process leaves, split by 13a; without
    --post-process, of the dictionary's symbols.
    """
    from sacrebleu.metrics import BLEU as SentenceBleu  # noqa: N811
    from sacrebleu.metrics import CHRF as SentenceChrf  # noqa: N811

    bleu = SentenceBleu(tokenize="13a" if post_process else "none", effective_order=True)
    scorer = SentenceChrf() if metric == CHRF else bleu

    def compare(hypothesis: Symbols, reference: Symbols) -> float:
        texts = [dictionary.string(x, post_process) for x in (hypothesis, reference)]
        return float(scorer.sentence_score(texts[0], [texts[1]]).score)

    return compare


class Chooser:
    """Goes from the answer to a source to its training targets, and counts what is dropped.

    Args:
        choice: what is taken; symbols: entries of the target dictionary's file.
        special: symbols of the dictionary that no sentence may hold inside.
        corpus: has the references; `similar`: needed to choose by them.
    """

    def __init__(
        self, choice: Choice, symbols: tuple[int, set[int]], corpus: Corpus, similar: Similarity
    ) -> None:
        self.choice, self.corpus, self.similar = choice, corpus, similar
        self._symbols, self._special = symbols
        self.dropped: Counter[str] = Counter()

    def targets(self, index: int, answer: Answer) -> list[Symbols]:
        """`(T,)` symbols without eos of every target that source `index` gets."""
        if not answer.hypotheses:
            self.dropped[TOO_LONG] += 1
        length = len(self.corpus.source(index)) - 1
        kept = []
        for hypothesis in self._best(index, answer.hypotheses):
            reason = self._fault(hypothesis, length)
            if reason:
                self.dropped[reason] += 1
            else:
                kept.append(hypothesis.symbols)
        return kept

    def _best(self, index: int, hypotheses: Sequence[Hypothesis]) -> Sequence[Hypothesis]:
        if self.choice.by == REFERENCE and hypotheses:
            reference = self.corpus.reference(index)[:-1]
            scores = [self.similar(x.symbols, reference) for x in hypotheses]
            order = sorted(range(len(scores)), key=lambda i: -scores[i])  # stable: then by score
            hypotheses = [hypotheses[i] for i in order]
        return hypotheses[: self.choice.nbest]

    def _fault(self, hypothesis: Hypothesis, source_length: int) -> str | None:
        """Why a hypothesis is no training target; None: it is one."""
        symbols, choice = hypothesis.symbols, self.choice
        if not len(symbols):
            return EMPTY
        if hypothesis.cut and not choice.keep_cut:
            return CUT
        if symbols.max() >= self._symbols or self._special & set(symbols.tolist()):
            return FOREIGN
        ratio = len(symbols) / max(1, source_length)
        if ratio < choice.min_ratio or (choice.max_ratio and ratio > choice.max_ratio):
            return RATIO
        return None
