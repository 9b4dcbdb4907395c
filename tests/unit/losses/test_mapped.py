"""The loss with a teacher of another vocabulary, against sums written out token by token."""

import math
import random

import pytest
import torch

from lightpaff_fairseq.losses.dense import LossSettings, dense_distillation_loss
from lightpaff_fairseq.losses.divergences import DIVERGENCES, Divergence
from lightpaff_fairseq.losses.mapped import MappedOutput, TokenPairs, mapped_distillation_loss
from lightpaff_fairseq.losses.model_output import LogitsOutput

STUDENT, TEACHER, POSITIONS = 7, 9, 6


def pairs_of(pairs, student=STUDENT, teacher=TEACHER):
    of_teacher, of_student = zip(*pairs, strict=True)
    rest = (
        sorted({*range(size)} - {*known})
        for size, known in ((teacher, of_teacher), (student, of_student))
    )
    ids = (of_teacher, of_student, *rest)
    return TokenPairs(*(torch.tensor(x, dtype=torch.int64) for x in ids))


def logits(size, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(POSITIONS, size, dtype=torch.float64, generator=generator)


def naive(student, teacher, rows, pairs, temperature):
    """Forward KL over pairs and the two rests, and the distance by rank."""
    total = 0.0
    for place, row in enumerate(rows):
        s = (student[row] / temperature).softmax(-1).tolist()
        t = (teacher[place] / temperature).softmax(-1).tolist()
        rest_s = sorted((s[i] for i in pairs.student_rest.tolist()), reverse=True)
        rest_t = sorted((t[i] for i in pairs.teacher_rest.tolist()), reverse=True)
        scale = 1 if rest_s else sum(t[i] for i in pairs.teacher.tolist())
        for i, j in zip(pairs.teacher.tolist(), pairs.student.tolist(), strict=True):
            total += t[i] / scale * math.log(t[i] / scale / s[j])
        if not rest_s:
            continue
        total += sum(rest_t) * math.log(sum(rest_t) / sum(rest_s))
        longest = max(len(rest_s), len(rest_t))
        rest_s += [0.0] * (longest - len(rest_s))
        rest_t += [0.0] * (longest - len(rest_t))
        total += sum(abs(a - b) for a, b in zip(rest_s, rest_t, strict=True))
    return total * temperature**2


@pytest.mark.parametrize(
    "shared",
    [[(0, 0), (8, 3), (2, 5)], [(8 - i, i) for i in range(STUDENT)]],
    ids=["both have more", "the teacher has more"],
)
def test_value_and_gradient_are_those_of_the_definition(shared):
    pairs, rows = pairs_of(shared), [4, 1, 2]
    student, teacher = logits(STUDENT, 1), logits(TEACHER, 2)[:3]
    target = torch.tensor([0, 1, 2, 3, 4, 5])

    def loss(values):
        output = MappedOutput(LogitsOutput(teacher), torch.tensor(rows), pairs)
        return mapped_distillation_loss(values, output, target, LossSettings(0.3, 2.0, 0.1))

    terms = loss(student)
    assert terms.aligned == 3
    expected = naive(student, teacher, rows, pairs, 2.0)
    assert terms.kd_loss.item() == pytest.approx(expected, rel=1e-12)
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
    pairs = pairs_of([(order[i], i) for i in range(STUDENT)], teacher=STUDENT)
    permuted = torch.empty_like(teacher)
    permuted[:, order] = teacher
    output = MappedOutput(LogitsOutput(permuted[rows]), torch.tensor(rows), pairs)
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
        pairs_of([(0, 0)]),
    )
    student = logits(STUDENT, 1).requires_grad_()
    terms = mapped_distillation_loss(student, nothing, torch.arange(POSITIONS), LossSettings(1.0))
    terms.loss.backward()
    assert terms.kd_loss.item() == 0 == terms.aligned and not student.grad.any()


@pytest.mark.parametrize("name", [x for x, y in DIVERGENCES.items() if y.finite_at_zero])
def test_a_student_with_more_tokens_has_a_moderate_loss(name):
    """The teacher gives the student's own tokens probability 0."""
    pairs = pairs_of([(i, i) for i in range(STUDENT - 2)], teacher=STUDENT - 2)
    student = logits(STUDENT, 1).requires_grad_()
    output = MappedOutput(LogitsOutput(logits(STUDENT - 2, 2)), torch.arange(POSITIONS), pairs)
    settings = LossSettings(1.0, divergence=Divergence(name))
    terms = mapped_distillation_loss(student, output, torch.arange(POSITIONS), settings)
    terms.loss.backward()
    assert 0 < terms.kd_loss.item() < 5 * POSITIONS and student.grad.isfinite().all()
