"""The loss with a teacher of another vocabulary, against sums written out token by token."""

import math
import random

import pytest
import torch

from lightpaff_fairseq.losses.dense import LossSettings, dense_distillation_loss
from lightpaff_fairseq.losses.divergences import DIVERGENCES, Divergence
from lightpaff_fairseq.losses.mapped import MappedOutput, TokenMap, mapped_distillation_loss
from lightpaff_fairseq.losses.model_output import LogitsOutput
from lightpaff_fairseq.losses.sampled import SampledOutput
from lightpaff_fairseq.losses.top_k import TopKOutput

STUDENT, TEACHER, POSITIONS = 7, 9, 6
SHARED = [(0, 0, 1), (8, 3, 5), (2, 5, 1), (2, 3, 3), (4, 5, 2)]  # splits 2, joins 2 and 8, 2 and 4


def map_of(entries, student=STUDENT, teacher=TEACHER):
    return TokenMap.of(entries, (teacher, student))


def logits(size, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(POSITIONS, size, dtype=torch.float64, generator=generator)


def mapped(t, entries):
    """Probabilities of the student's tokens that are counterparts."""
    result = {}
    for x, y, weight in entries:
        total = sum(w for other, _, w in entries if other == x)
        result[y] = result.get(y, 0) + t[x] * weight / total
    return result


def kl(t, s):
    return sum(p * math.log(p / q) for p, q in zip(t, s, strict=True) if p)


def by_rank(rest_t, rest_s):
    longest = max(len(rest_t), len(rest_s))
    padded = ([*sorted(x, reverse=True), *[0.0] * (longest - len(x))] for x in (rest_t, rest_s))
    return sum(abs(a - b) for a, b in zip(*padded, strict=True))


def naive(s, t, entries):
    """Forward KL over counterparts and the two rests, and the distance by rank."""
    known = mapped(t, entries)
    rest_s = [p for y, p in enumerate(s) if y not in known]
    rest_t = [p for x, p in enumerate(t) if all(x != entry[0] for entry in entries)]
    of_student = [s[y] for y in known]
    if not rest_s:
        scale = sum(known.values())
        return kl([p / scale for p in known.values()], of_student)
    soft = kl([*known.values(), sum(rest_t)], [*of_student, sum(rest_s)])
    return soft + by_rank(rest_t, rest_s)


def naive_top_k(s, t, entries, ids):
    """Forward KL over the counterparts of some tokens, and all others together."""
    known = mapped([p if x in ids else 0 for x, p in enumerate(t)], entries)
    known = {y: p for y, p in known.items() if p}
    of_student = [s[y] for y in known]
    return kl([*known.values(), 1 - sum(known.values())], [*of_student, 1 - sum(of_student)])


def probabilities(values, temperature):
    return (values / temperature).softmax(-1).tolist()


@pytest.mark.parametrize(
    "entries",
    [SHARED, [(8 - i, i, 1) for i in range(STUDENT)]],
    ids=["both have more", "the teacher has more"],
)
@pytest.mark.parametrize("kind", ["complete", "top-k", "draws"])
def test_value_and_gradient_are_those_of_the_definition(entries, kind):
    tokens, rows = map_of(entries), [1, 2, 4]
    student, teacher = logits(STUDENT, 1), logits(TEACHER, 2)[:3]
    target = torch.tensor([0, 1, 2, 3, 4, 5])
    ids = [[2, 0, 1, 8], [8, 5, 2, 3], [1, 3, 5, 6]]  # the last has no counterpart in SHARED
    each = [
        (probabilities(student[row], 2), probabilities(teacher[k], 2)) for k, row in enumerate(rows)
    ]
    if kind == "complete":
        output, want = LogitsOutput(teacher), [naive(s, t, entries) for s, t in each]
    elif kind == "top-k":
        top = torch.tensor([[t[x] for x in x_ids] for (_, t), x_ids in zip(each, ids, strict=True)])
        lprobs = torch.cat([top, 1 - top.sum(-1, keepdim=True)], -1).double().log()
        output = TopKOutput(torch.tensor(ids), lprobs, TEACHER)
        want = [naive_top_k(*x, entries, y) for x, y in zip(each, ids, strict=True)]
    else:
        drawn = [[2, 8, 0]] * 3  # tokens with a counterpart
        shares = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]]).double()
        output = SampledOutput(torch.tensor(drawn), shares, TEACHER)
        want = []
        for row, (s, _) in zip(shares.tolist(), each, strict=True):
            t = [dict(zip(drawn[0], row, strict=True)).get(x, 0.0) for x in range(TEACHER)]
            known = mapped(t, entries)
            want.append(kl(known.values(), [s[y] for y in known]))

    def loss(values):
        at = MappedOutput(output, torch.tensor(rows), tokens)
        return mapped_distillation_loss(values, at, target, LossSettings(0.3, 2.0, 0.1))

    terms = loss(student)
    assert terms.aligned == 3
    rounding = 1e-12 if kind == "complete" else 1e-6
    assert terms.kd_loss.item() == pytest.approx(4 * sum(want), rel=rounding)
    of_label = -student.log_softmax(-1).gather(-1, target.view(-1, 1)).sum()
    assert terms.nll_loss.item() == pytest.approx(of_label.item(), rel=1e-12)
    assert torch.autograd.gradcheck(lambda x: loss(x).loss, student.clone().requires_grad_())


@pytest.mark.parametrize("name", DIVERGENCES)
def test_a_permuted_vocabulary_is_the_plain_loss(name):
    """The teacher's tokens in another order; every position has a counterpart, in another order."""
    draw = random.Random(1)
    order, rows = draw.sample(range(STUDENT), STUDENT), draw.sample(range(POSITIONS), POSITIONS)
    student, teacher = logits(STUDENT, 1).requires_grad_(), logits(STUDENT, 2)
    target = torch.arange(POSITIONS)
    settings = LossSettings(0.6, 1.5, 0.1, divergence=Divergence(name))
    tokens = map_of([(order[i], i, 1) for i in range(STUDENT)], teacher=STUDENT)
    permuted = torch.empty_like(teacher)
    permuted[:, order] = teacher
    output = MappedOutput(LogitsOutput(permuted[rows]), torch.tensor(rows), tokens)
    got = mapped_distillation_loss(student, output, target, settings)
    want = dense_distillation_loss(student, teacher, target, settings)
    for one, other in zip(got[:4], want[:4], strict=True):
        assert one.item() == pytest.approx(other.item(), rel=1e-12)
    gradients = [torch.autograd.grad(terms.loss, student)[0] for terms in (got, want)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_without_an_aligned_position_the_soft_loss_is_zero():
    nothing = MappedOutput(
        LogitsOutput(logits(TEACHER, 2)[:0]),
        torch.tensor([], dtype=torch.int64),
        map_of(SHARED),
    )
    student = logits(STUDENT, 1).requires_grad_()
    terms = mapped_distillation_loss(student, nothing, torch.arange(POSITIONS), LossSettings(1.0))
    terms.loss.backward()
    assert terms.kd_loss.item() == 0 == terms.aligned and not student.grad.any()


@pytest.mark.parametrize("name", [x for x, y in DIVERGENCES.items() if y.finite_at_zero])
def test_a_student_with_more_tokens_has_a_moderate_loss(name):
    """The teacher gives the student's own tokens probability 0."""
    tokens = map_of([(i, i, 1) for i in range(STUDENT - 2)], teacher=STUDENT - 2)
    student = logits(STUDENT, 1).requires_grad_()
    output = MappedOutput(LogitsOutput(logits(STUDENT - 2, 2)), torch.arange(POSITIONS), tokens)
    settings = LossSettings(1.0, divergence=Divergence(name))
    terms = mapped_distillation_loss(student, output, torch.arange(POSITIONS), settings)
    terms.loss.backward()
    assert 0 < terms.kd_loss.item() < 5 * POSITIONS and student.grad.isfinite().all()
