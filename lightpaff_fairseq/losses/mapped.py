"""The loss with a teacher of another vocabulary, at the positions that both models have.

Tokens of the same text are compared one by one, all others of each model together as one more
outcome; within it, ULD compares probabilities by rank:

    T^2 * (D(teacher, student over pairs and rest) + sum_r |t_r - s_r|)

t_r, s_r: the r-th largest probabilities of tokens without a counterpart, 0 where a model has fewer.
A student without such tokens cannot say what the teacher says by its own: then the teacher's
probabilities of the pairs are scaled to a sum of 1, and compared alone. With equal vocabularies
it is the loss of `dense.py`.

Shape letters: N positions, M of them aligned, P pairs of tokens, V student's vocabulary, U
teacher's. Source: Universal Logit Distillation (arXiv 2402.12030) for the ranks; GOLD (TRL) for
the two together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .dense import LossSettings, LossTerms, at_least_float32, label_smoothed_nll
from .divergences import Divergence, divergence_of_lprobs, tempered_lprobs
from .model_output import ModelOutput
from .top_k import NOTHING


@dataclass(frozen=True)
class TokenPairs:
    """The tokens that two vocabularies share.

    Attributes:
        teacher, student: `(P,)` int64 ids, pair by pair.
        teacher_rest, student_rest: ids of the tokens without a counterpart, `(U - P,)`, `(V - P,)`.
    """

    teacher: Tensor
    student: Tensor
    teacher_rest: Tensor
    student_rest: Tensor

    def to(self, device: torch.device) -> "TokenPairs":
        """Return the pairs on a device."""
        ids = (self.teacher, self.student, self.teacher_rest, self.student_rest)
        return TokenPairs(*(x.to(device) for x in ids))


@dataclass(frozen=True)
class MappedOutput:
    """A teacher's output over its own vocabulary, at M of the N positions.

    Attributes:
        output: at the M positions; rows: `(M,)` their numbers among the N, each once.
        pairs: on the device of the output.
    """

    output: ModelOutput
    rows: Tensor
    pairs: TokenPairs


def mapped_distillation_loss(
    logits_s: Tensor, teacher: MappedOutput, target: Tensor, settings: LossSettings
) -> LossTerms:
    """Compute task loss at N and soft loss at M positions; the gradient is autograd's.

    Args:
        logits_s: `(N, V)`, any float dtype; computed in fp32.
        target: `(N,)` token indices, without padding.
        settings: only weights, temperature (a number), divergence and label smoothing are used.
    """
    task_loss, nll = label_smoothed_nll(logits_s, target, settings.label_smoothing)
    temperature = settings.temperature
    lprobs_s, lprobs_t = (
        tempered_lprobs(at_least_float32(x), temperature)
        for x in (logits_s[teacher.rows], teacher.output.logits())
    )
    kd = mapped_divergence(lprobs_s, lprobs_t, teacher.pairs, settings.divergence).sum()
    kd = kd * temperature**2
    loss = (1 - settings.kd_lambda) * task_loss.sum() + settings.kd_lambda * kd
    n_correct = logits_s.detach().argmax(-1).eq(target).sum()
    return LossTerms(loss, nll.detach().sum(), kd.detach(), n_correct, len(teacher.rows))


def mapped_divergence(
    lprobs_s: Tensor, lprobs_t: Tensor, pairs: TokenPairs, divergence: Divergence
) -> Tensor:
    """Return the divergence and the distance by rank together, `(M,)`, in nats.

    Args:
        lprobs_s: `(M, V)`; lprobs_t: `(M, U)`: log-probabilities.
    """
    shared_s, shared_t = lprobs_s[:, pairs.student], lprobs_t[:, pairs.teacher]
    rest_s, rest_t = lprobs_s[:, pairs.student_rest], lprobs_t[:, pairs.teacher_rest]
    if not rest_s.size(1):
        return divergence_of_lprobs(shared_s, shared_t.log_softmax(-1), divergence)
    longest = max(rest_s.size(1), rest_t.size(1))
    joined_s, joined_t = (
        torch.cat([shared, _together(rest)], 1)
        for shared, rest in ((shared_s, rest_s), (shared_t, rest_t))
    )
    ranked_s, ranked_t = (
        F.pad(x.exp().sort(descending=True).values, (0, longest - x.size(1)))
        for x in (rest_s, rest_t)
    )
    by_rank = (ranked_s - ranked_t).abs().sum(-1)
    return divergence_of_lprobs(joined_s, joined_t, divergence) + by_rank


def _together(lprobs: Tensor) -> Tensor:
    """Return the log-probability `(M, 1)` of all tokens of `(M, R)` together."""
    if not lprobs.size(1):
        return lprobs.new_full((len(lprobs), 1), NOTHING)
    return lprobs.logsumexp(-1, keepdim=True).clamp_min(NOTHING)
