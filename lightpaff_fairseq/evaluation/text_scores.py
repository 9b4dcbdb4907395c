"""Scores of generated text against references: every BLEU, chrF and ROUGE of the package."""

import importlib.util
import statistics
from collections.abc import Callable, Sequence

from sacrebleu.metrics import BLEU, CHRF

from .model_rows import Row

METRICS = {  # name: title
    "bleu": "BLEU",
    "chrf": "chrF",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
}


def missing_package(metrics: Sequence[str]) -> str | None:
    """Return a message if `metrics` need a package that is not installed."""
    needs_rouge = any(name.startswith("rouge") for name in metrics)
    if not needs_rouge or importlib.util.find_spec("rouge_score"):
        return None
    return (
        f"--metrics {' '.join(metrics)}: ROUGE needs the package rouge-score, which is not "
        "installed (pip install rouge-score)"
    )


def score(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], metrics: Sequence[str]
) -> Row:
    """Score detokenized text, from 0 to 100.

    Args:
        hypotheses: N texts.
        references: N texts for each reference set.
        metrics: names of `METRICS`. BLEU and chrF are sacrebleu's, with its signatures. ROUGE is
            the F-measure of rouge-score with stemming, the mean over texts and over references.
    """
    row: Row = {}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        if name in metrics:
            row[name] = round(metric.corpus_score(hypotheses, references).score, 2)
            row[f"{name}_signature"] = str(metric.get_signature())
    rouge = [name for name in metrics if name.startswith("rouge")]
    if rouge:
        row.update(_rouge(hypotheses, references, rouge))
    return row


def sentence_scorer(metric: str, is_text: bool) -> Callable[[str, str], float]:
    """Return a function that scores (hypothesis, reference), from 0 to 100.

    Args:
        metric: bleu or chrf. BLEU of a sentence is sacrebleu's: exponential smoothing, effective
            order.
        is_text: words are tokenized by 13a; false: the tokens between spaces are the words.
    """
    bleu = BLEU(tokenize="13a" if is_text else "none", effective_order=True)
    scorer = CHRF() if metric == "chrf" else bleu
    return lambda hypothesis, reference: float(scorer.sentence_score(hypothesis, [reference]).score)


def _rouge(hypotheses: Sequence[str], references: Sequence[Sequence[str]], names: list[str]) -> Row:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(names, use_stemmer=True)
    pairs = [(ref, hyp) for texts in references for ref, hyp in zip(texts, hypotheses, strict=True)]
    scores = [scorer.score(reference, hypothesis) for reference, hypothesis in pairs]
    row: Row = {
        name: round(100 * statistics.mean(s[name].fmeasure for s in scores), 2) for name in names
    }
    row["rouge_signature"] = f"f-measure|stemmer:yes|refs:{len(references)}:mean|rouge-score"
    return row
