"""Compare two models in one sentence: the difference, and its significance."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

SAMPLES = 1000
LEVEL = 0.05


@dataclass(frozen=True)
class Scored:
    """A model's name, scores (0 to 100) and hypotheses."""

    name: str
    bleu: float
    chrf: float
    hypotheses: Sequence[str]


def p_value(baseline: Scored, other: Scored, references: Sequence[str]) -> float:
    """Return the p-value of the difference in BLEU by paired bootstrap over sentences.

    It does not cover the variance between training runs, which is usually larger.
    """
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    systems = [("baseline", list(baseline.hypotheses)), ("other", list(other.hypotheses))]
    test = PairedTest(systems, {"BLEU": BLEU()}, [list(references)], "bs", SAMPLES)
    results = test()[1]["BLEU"]
    return float(results[1].p_value)


def compare(baseline: Scored, other: Scored, teacher: Scored, p: float) -> str:
    """Return a sentence on `other` and `baseline`, and its limits.

    Relative to the teacher it is the share of the quality that is kept, otherwise the gain.

    Args:
        baseline, other: for example the student without and with distillation, or the teacher and
            a student.
        teacher: if better than `baseline`, the gain is also given as a share of this gap.
        p: see `p_value`.
    """
    text = (
        _kept(other, teacher) if baseline.name == teacher.name else _gain(baseline, other, teacher)
    )
    chance = "is unlikely to be" if p < LEVEL else "may well be"
    return (
        f"{text} (one training run each, {len(other.hypotheses)} sentences; the difference "
        f"{chance} chance over sentences: paired bootstrap p = {p:.3f})."
    )


def _kept(other: Scored, teacher: Scored) -> str:
    pairs = {"BLEU": (other.bleu, teacher.bleu), "chrF": (other.chrf, teacher.chrf)}
    shares = [
        f"{100 * value / (whole or 1):.1f} % of the {name} ({value:.1f} of {whole:.1f})"
        for name, (value, whole) in pairs.items()
    ]
    return f"{other.name} keeps {' and '.join(shares)} of {teacher.name}"


def _gain(baseline: Scored, other: Scored, teacher: Scored) -> str:
    gain, gain_chrf = other.bleu - baseline.bleu, other.chrf - baseline.chrf
    verb = "gained" if gain > 0 else "lost" if gain < 0 else "changed nothing:"
    text = f"{other.name} {verb} {abs(gain):.1f} BLEU ({gain_chrf:+.1f} chrF) over {baseline.name}"
    gap = teacher.bleu - baseline.bleu
    if gain > 0 and gap > 0:
        text += f", {100 * gain / gap:.0f} % of the gap to {teacher.name}"
    elif gap <= 0:
        text += f"; {teacher.name} itself is not better than {baseline.name}"
    return text
