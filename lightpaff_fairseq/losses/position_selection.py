"""The choice of the positions of a batch that get the soft loss (`--kd-select`).

The positions with the largest scores are chosen, of equal ones the earlier:

    student_entropy  entropy of the student                       where it is unsure
    teacher_entropy  entropy of the teacher                       where the teacher is
    reverse_kl       KL(student || teacher)                       where the two disagree
    cross_entropy    -log s(label)                                where it misses the label
    confident_wrong  log s(w) - log s(label), w the most          where it prefers another token,
                     probable token but the label                 and how clearly
    random           a random number                              the baseline

Those of the teacher need its output at every position; so they save nothing of it. The student's
scores are at temperature 1, those with a teacher at the temperature of the loss. Shape letters: N
positions, n of a chunk, K chosen positions, V vocabulary. Source: SE-KD (arXiv 2602.01395), whose
best score is student_entropy at 20 %; for confident_wrong TIP, here with the label as the judge.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .divergences import tempered_lprobs, weighted_sum
from .model_output import Rows
from .sampled import SampledOutput, SoftTargets
from .top_k import TopKOutput, joined_outcomes


@dataclass(frozen=True)
class DeferredOutput:
    """A teacher's output at N positions that is read for the chosen ones only.

    Attributes:
        vocab_size: V; at: returns the output at `(K,)` ascending numbers of positions.
    """

    vocab_size: int
    at: Callable[[Tensor], SoftTargets]


Teacher = SoftTargets | DeferredOutput


def complete_output(teacher: Teacher, target: Tensor) -> SoftTargets:
    """Return a teacher's output at all positions, of labels `(N,)`."""
    if isinstance(teacher, DeferredOutput):
        return teacher.at(torch.arange(len(target), device=target.device))
    return teacher


class ScoreInput(NamedTuple):
    """What a score may depend on, at n positions.

    Attributes:
        logits, probs: `(n, V)` of the student; normalizer: `(n,)`, log-sum-exp of the logits.
        target: `(n,)` labels.
        spare: `(n, V)` to be overwritten.
        outcomes: log-probabilities `(n, O)` of student and teacher; None unless `needs_teacher`.
    """

    logits: Tensor
    probs: Tensor
    normalizer: Tensor
    target: Tensor
    spare: Tensor
    outcomes: tuple[Tensor, Tensor] | None


@dataclass(frozen=True)
class Score:
    """One entry of `SCORES`: its value `(n,)`, and whether it needs the teacher's output."""

    value: Callable[[ScoreInput], Tensor]
    needs_teacher: bool = False


@dataclass(frozen=True)
class Selection:
    """The positions that get the soft loss.

    Attributes:
        name: key of `SCORES`.
        share: of the positions of a batch, in (0, 1], rounded up.
    """

    name: str
    share: float

    @property
    def score(self) -> Score:
        """Return the entry of the name."""
        return SCORES[self.name]

    def count(self, positions: int) -> int:
        """Return K, at least 1 of any `positions`."""
        return math.ceil(self.share * positions - 1e-9)


def parse_selection(text: str) -> Selection:
    """Read `NAME:SHARE`.

    Raises:
        ValueError: the name is unknown, or the share no number in (0, 1].
    """
    name, _, share = text.partition(":")
    try:
        number = float(share)
    except ValueError:
        number = math.nan
    if name not in SCORES or not 0 < number <= 1:
        raise ValueError(
            f"expected NAME:SHARE, NAME one of {', '.join(SCORES)}, SHARE above 0, up to 1"
        )
    return Selection(name, number)


def largest(scores: Tensor, positions: Tensor, count: int) -> Tensor:
    """Return which of `(n,)` scores are the `count` largest; of equal ones, the earlier positions.

    Args:
        positions: `(n,)` their numbers, in any order.
    Returns:
        `(n,)` bool.
    """
    order = positions.argsort()
    order = order[scores[order].argsort(descending=True, stable=True)]
    return torch.zeros_like(scores, dtype=torch.bool).index_fill_(0, order[:count], True)


def chosen_positions(
    logits_s: Tensor,
    teacher: SoftTargets,
    target: Tensor,
    selection: Selection,
    temperature: float,
) -> Tensor:
    """Return the ascending numbers `(K,)` of the positions that get the soft loss.

    Args:
        logits_s: `(N, V)` in the dtype of the computation; target: `(N,)`.
        temperature: of the loss.
    """
    logits, everything = logits_s.detach(), slice(None)
    outcomes = None
    if selection.score.needs_teacher:
        outcomes = outcomes_of(logits, teacher, everything, temperature)
    normalizer, spare = logits.logsumexp(-1), torch.empty_like(logits)
    given = ScoreInput(logits, logits.softmax(-1), normalizer, target, spare, outcomes)
    positions = torch.arange(len(target), device=target.device)
    chosen = largest(selection.score.value(given), positions, selection.count(len(target)))
    return chosen.nonzero().squeeze(-1)


def outcomes_of(
    logits_s: Tensor, teacher: SoftTargets, rows: Rows, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return log-probabilities `(n, O)` of student and teacher at the temperature of the loss."""
    if isinstance(teacher, SampledOutput):
        raise ValueError("selection: expected a score without the teacher, got one that needs more")
    if isinstance(teacher, TopKOutput):
        ids, lprobs_t = teacher.rows(rows)
        return joined_outcomes(logits_s, ids, temperature), lprobs_t.to(logits_s.dtype)
    lprobs_t = tempered_lprobs(teacher.logits(rows).to(logits_s.dtype), temperature)
    return tempered_lprobs(logits_s, temperature), lprobs_t


def _student_entropy(given: ScoreInput) -> Tensor:
    products = torch.mul(given.probs, given.logits, out=given.spare)
    return given.normalizer - products.nansum(-1)


def _teacher_entropy(given: ScoreInput) -> Tensor:
    assert given.outcomes is not None
    lprobs_t = given.outcomes[1]
    return -weighted_sum(lprobs_t.exp(), lprobs_t)


def _reverse_kl(given: ScoreInput) -> Tensor:
    assert given.outcomes is not None
    lprobs_s, lprobs_t = given.outcomes
    return weighted_sum(lprobs_s.exp(), lprobs_s - lprobs_t)


def _cross_entropy(given: ScoreInput) -> Tensor:
    return given.normalizer - given.logits.gather(-1, given.target.unsqueeze(-1)).squeeze(-1)


def _confident_wrong(given: ScoreInput) -> Tensor:
    index = given.target.unsqueeze(-1)
    others = given.spare.copy_(given.logits).scatter_(-1, index, -torch.inf)
    return others.amax(-1) - given.logits.gather(-1, index).squeeze(-1)


def _random(given: ScoreInput) -> Tensor:
    return torch.rand_like(given.normalizer)


SCORES = {
    "student_entropy": Score(_student_entropy),
    "teacher_entropy": Score(_teacher_entropy, needs_teacher=True),
    "reverse_kl": Score(_reverse_kl, needs_teacher=True),
    "cross_entropy": Score(_cross_entropy),
    "confident_wrong": Score(_confident_wrong),
    "random": Score(_random),
}
