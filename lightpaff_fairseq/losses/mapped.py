"""The loss with a teacher of another vocabulary, at the positions that both models have.

The teacher's tokens are turned into the student's by a `TokenMap`. Tokens with a counterpart are
compared one by one, all others of each model together as one more outcome; within it, ULD compares
probabilities by rank:

    T^2 * (D(teacher, student over counterparts and rest) + sum_r |t_r - s_r|)

t_r, s_r: the r-th largest probabilities of tokens without a counterpart, 0 where a model has fewer.
A student without such tokens cannot say what the teacher says by its own: then the teacher's
probabilities of the counterparts are scaled to a sum of 1, and compared alone. With equal
vocabularies it is the loss of `dense.py`.

Of a teacher that is known by its k most probable tokens, all mass but that of their counterparts is
taken to be that of the student's other tokens, together, without ranks; where the student has no
others, the counterparts are scaled as above. Draws are turned into draws of the student's tokens.

Shape letters: N positions, M of them aligned, E entries of the map, P tokens of the student with a
counterpart, V student's vocabulary, U teacher's. Source: Universal Logit Distillation (arXiv
2402.12030) for the ranks; GOLD (TRL) for the two together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .dense import LossSettings, LossTerms, at_least_float32, label_smoothed_nll
from .divergences import Divergence, divergence_of_lprobs, tempered_lprobs
from .sampled import SampledOutput, SoftTargets, sampled_divergence
from .top_k import NOTHING, TopKOutput


@dataclass(frozen=True)
class TokenMap:
    """Which of the student's tokens a teacher's token stands for.

    Attributes:
        teacher, places, log_shares: `(E,)` entry by entry: a teacher's token, the index in
            `student` of a counterpart, the log (float64) of the share of the teacher's probability
            that goes to it; the shares of a teacher's token sum to 1.
        student: `(P,)` tokens that are a counterpart, each once, ascending.
        teacher_rest, student_rest: all other tokens.
    """

    teacher: Tensor
    places: Tensor
    log_shares: Tensor
    student: Tensor
    teacher_rest: Tensor
    student_rest: Tensor

    @classmethod
    def of(cls, entries: list[tuple[int, int, float]], sizes: tuple[int, int]) -> "TokenMap":
        """Return the map of entries (teacher's token, student's token, weight).

        Args:
            entries: their weights are positive, and divided by their sum per teacher's token.
            sizes: of the teacher's and of the student's vocabulary.
        """
        teacher, student = (torch.tensor([x[i] for x in entries]).long() for i in (0, 1))
        weights = torch.tensor([x[2] for x in entries], dtype=torch.float64)
        total = weights.new_zeros(sizes[0]).index_add_(0, teacher, weights)
        kept, places = torch.unique(student, return_inverse=True)
        rests = []
        for ids, size in ((teacher, sizes[0]), (kept, sizes[1])):
            is_rest = torch.ones(size, dtype=torch.bool).index_fill_(0, ids, False)
            rests.append(is_rest.nonzero().squeeze(-1))
        return cls(teacher, places, (weights / total[teacher]).log(), kept, *rests)

    def to(self, device: torch.device) -> "TokenMap":
        """Return the map on a device."""
        return TokenMap(**{name: x.to(device) for name, x in vars(self).items()})

    def lprobs(self, lprobs_t: Tensor) -> Tensor:
        """Return the teacher's log-probabilities `(M, P)` of the counterparts, of its `(M, U)`."""
        parts = lprobs_t[:, self.teacher] + self.log_shares.to(lprobs_t.dtype)
        shape = (len(parts), len(self.student))
        largest = parts.new_full(shape, -torch.inf)
        places = self.places.expand_as(parts)
        largest = largest.scatter_reduce(1, places, parts, "amax").clamp_min(NOTHING)
        scaled = (parts - largest.gather(1, places)).exp()
        return parts.new_zeros(shape).index_add_(1, self.places, scaled).log() + largest

    def shares(self, shares_t: Tensor) -> Tensor:
        """Return the shares of the counterparts in draws `(M, P)`, of those of tokens `(M, U)`."""
        parts = shares_t[:, self.teacher] * self.log_shares.exp().to(shares_t.dtype)
        shape = (len(parts), len(self.student))
        return parts.new_zeros(shape).index_add_(1, self.places, parts)


@dataclass(frozen=True)
class MappedOutput:
    """A teacher's output over its own vocabulary, at M of the N positions.

    Attributes:
        output: at the M positions; rows: `(M,)` their numbers among the N, ascending.
        tokens: on the device of the output.
    """

    output: SoftTargets
    rows: Tensor
    tokens: TokenMap


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
    kd = _soft_loss(at_least_float32(logits_s[teacher.rows]), teacher, settings).sum()
    loss = (1 - settings.kd_lambda) * task_loss.sum() + settings.kd_lambda * kd
    n_correct = logits_s.detach().argmax(-1).eq(target).sum()
    return LossTerms(loss, nll.detach().sum(), kd.detach(), n_correct, len(teacher.rows))


def _soft_loss(logits_s: Tensor, teacher: MappedOutput, settings: LossSettings) -> Tensor:
    """Return the soft loss `(M,)` of the student's logits `(M, V)`."""
    output, tokens, temperature = teacher.output, teacher.tokens, settings.temperature
    assert isinstance(temperature, float | int)
    if isinstance(output, SampledOutput):
        drawn = output.shares.to(logits_s.dtype)
        shares = drawn.new_zeros(len(drawn), output.vocab_size).scatter_add(1, output.ids, drawn)
        ids = tokens.student.expand(len(drawn), -1)
        draws = SampledOutput(ids, tokens.shares(shares), logits_s.size(1))
        value = sampled_divergence(logits_s, draws, temperature, settings.divergence)
        return value * temperature**2
    lprobs_s = tempered_lprobs(logits_s, temperature)
    if isinstance(output, TopKOutput):
        value = mapped_top_k_divergence(lprobs_s, output, tokens, settings.divergence)
    else:
        lprobs_t = tempered_lprobs(at_least_float32(output.logits()), temperature)
        value = mapped_divergence(lprobs_s, lprobs_t, tokens, settings.divergence)
    return value * temperature**2


def mapped_divergence(
    lprobs_s: Tensor, lprobs_t: Tensor, tokens: TokenMap, divergence: Divergence
) -> Tensor:
    """Return the divergence and the distance by rank together, `(M,)`, in nats.

    Args:
        lprobs_s: `(M, V)`; lprobs_t: `(M, U)`: log-probabilities.
    """
    shared_s, shared_t = lprobs_s[:, tokens.student], tokens.lprobs(lprobs_t)
    rest_s, rest_t = lprobs_s[:, tokens.student_rest], lprobs_t[:, tokens.teacher_rest]
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


def mapped_top_k_divergence(
    lprobs_s: Tensor, teacher: TopKOutput, tokens: TokenMap, divergence: Divergence
) -> Tensor:
    """Return the divergence `(M,)` over the counterparts of k tokens, and all others together.

    Args:
        lprobs_s: `(M, V)` log-probabilities.
    """
    ids, lprobs = teacher.rows()
    lprobs = lprobs.to(lprobs_s.dtype)
    none = lprobs.new_full((len(ids), teacher.vocab_size), -torch.inf)
    lprobs_t = none.scatter(1, ids, lprobs[:, :-1])
    shared_s, shared_t = lprobs_s[:, tokens.student], tokens.lprobs(lprobs_t)
    is_other = shared_t == -torch.inf  # of none of the k tokens
    has_others = is_other.any(1, keepdim=True) | bool(len(tokens.student_rest))
    shared_t = torch.where(has_others, shared_t, shared_t.log_softmax(-1))
    others_t = torch.cat([lprobs_t[:, tokens.teacher_rest], lprobs[:, -1:]], 1)
    others_t = others_t.masked_fill(~has_others, NOTHING)
    others_s = torch.cat(
        [
            lprobs_s[:, tokens.student_rest],
            shared_s.masked_fill(~is_other, -torch.inf),
            lprobs_s.new_full((len(ids), 1), NOTHING),  # if there are no others
        ],
        1,
    )
    joined_s, joined_t = (
        torch.cat([shared.masked_fill(is_other, NOTHING), _together(others)], 1)
        for shared, others in ((shared_s, others_s), (shared_t, others_t))
    )
    return divergence_of_lprobs(joined_s, joined_t, divergence)


def _together(lprobs: Tensor) -> Tensor:
    """Return the log-probability `(M, 1)` of all tokens of `(M, R)` together."""
    if not lprobs.size(1):
        return lprobs.new_full((len(lprobs), 1), NOTHING)
    return lprobs.logsumexp(-1, keepdim=True).clamp_min(NOTHING)
