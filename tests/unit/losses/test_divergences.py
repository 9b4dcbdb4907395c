"""Every divergence, fused and dense, complete and top-k, against naive float64 references."""

import math

import pytest
import torch

from lightpaff_fairseq.losses.dense import LossSettings, dense_distillation_loss
from lightpaff_fairseq.losses.divergences import (
    DIVERGENCES,
    Divergence,
    divergence_of_lprobs,
    value_and_gradient,
)
from lightpaff_fairseq.losses.fused import fused_distillation_loss
from lightpaff_fairseq.losses.model_output import LinearOutput
from lightpaff_fairseq.losses.top_k import NOTHING, TopKOutput

N, V, C_S, C_T, K = 19, 13, 5, 7, 4
KINDS = [
    Divergence("forward_kl"),
    Divergence("reverse_kl"),
    Divergence("tvd"),
    *(Divergence("jsd", beta) for beta in (0.0, 0.1, 0.5, 0.9, 1.0)),
]
FINITE = [d for d in KINDS if d.finite_at_zero]  # without a tail, reverse KL is infinite
BY_KIND = pytest.mark.parametrize("divergence", KINDS, ids=lambda d: f"{d.name} {d.beta}")
TOLERANCE = {torch.float64: 1e-11, torch.float32: 3e-6}


def naive_divergence(t, s, divergence):
    """One position: sums of Python's own logarithms over lists of probabilities."""
    name, beta = divergence.name, divergence.beta
    if name == "tvd":
        return 0.5 * sum(abs(a - b) for a, b in zip(t, s))
    if name == "forward_kl" or (name == "jsd" and beta == 0):
        return sum(a * math.log(a / b) for a, b in zip(t, s) if a)
    if name == "reverse_kl" or (name == "jsd" and beta == 1):
        return sum(b * math.log(b / a) for a, b in zip(t, s))
    m = [beta * a + (1 - beta) * b for a, b in zip(t, s)]
    of_teacher = sum(a * math.log(a / c) for a, c in zip(t, m) if a)
    return beta * of_teacher + (1 - beta) * sum(b * math.log(b / c) for b, c in zip(s, m))


def naive_softmax(logits):
    weights = [math.exp(z) for z in logits]
    return [w / math.fsum(weights) for w in weights]


def naive(logits_s, teacher_of_row, target, settings):
    """Total loss and its soft part, from `(N, V)` logits and a row's (teacher, student) masses."""
    lam, t, eps = settings.kd_lambda, settings.temperature, settings.label_smoothing
    total = soft = 0.0
    for row, (z, y) in enumerate(zip(logits_s.double().tolist(), target.tolist())):
        p = naive_softmax(z)
        pair = teacher_of_row(row, naive_softmax([x / t for x in z]))
        kd = naive_divergence(*pair, settings.divergence) * t * t
        others = sum(math.log(p[v]) for v in range(V) if v != y)
        label = -(1 - eps) * math.log(p[y]) - eps / (V - 1) * others
        total, soft = total + (1 - lam) * label + lam * kd, soft + kd
    return total, soft


def models(dtype, seed=0):
    gen = torch.Generator().manual_seed(seed)

    def readout(width):
        return LinearOutput(
            *(
                torch.randn(*shape, generator=gen, dtype=torch.float64).to(dtype)
                for shape in ((N, width), (V, width), (V,))
            )
        )

    student, teacher = readout(C_S), readout(C_T)
    for x in (student.hidden, student.weight, student.bias):
        x.requires_grad_()
    return student, teacher, torch.randint(V, (N,), generator=gen)


def top_k(teacher, temperature, tail):
    """The K most probable symbols at a temperature, with the rest in a bucket, or without it."""
    probs = (teacher.logits().double() / temperature).softmax(-1)
    values, ids = probs.topk(K)
    if tail == "drop":
        rest = torch.full_like(values[:, :1], NOTHING)
        lprobs = torch.cat([(values / values.sum(-1, keepdim=True)).log(), rest], -1)
    else:
        lprobs = torch.cat([values, 1 - values.sum(-1, keepdim=True)], -1).log()
    return TopKOutput(ids, lprobs.to(teacher.hidden.dtype), V)


def leaves(student):
    return [student.hidden, student.weight, student.bias]


SETTINGS = [
    (lam, temperature, eps, chunk)
    for lam in (0.3, 1.0)
    for temperature, eps, chunk in ((1.0, 0.1, 5), (2.5, 0.1, 7), (0.5, 0.0, 256))
]


def assert_close(got, want, tolerance):
    for ours, theirs in zip(got, want, strict=True):
        assert (ours.double() - theirs.double()).abs().max() <= tolerance * max(
            1.0, theirs.abs().max().item()
        )


@BY_KIND
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_fused_and_dense_equal_a_naive_reference(dtype, settings, divergence):
    settings = LossSettings(*settings, divergence)
    student, teacher, target = models(dtype)
    softened = [naive_softmax([x / settings.temperature for x in z]) for z in _list(teacher)]
    want = naive(student.logits(), lambda row, s: (softened[row], s), target, settings)
    fused = fused_distillation_loss(student, teacher, target, settings)
    dense = dense_distillation_loss(student.logits(), teacher.logits(), target, settings)
    for terms in (fused, dense):
        got = terms.loss.item(), terms.kd_loss.item()
        assert got == pytest.approx(want, rel=TOLERANCE[dtype], abs=TOLERANCE[dtype])
    gradients = [torch.autograd.grad(terms.loss, leaves(student)) for terms in (fused, dense)]
    assert_close(*gradients, TOLERANCE[dtype])
    assert fused.n_correct == dense.n_correct
    assert fused.nll_loss.item() == pytest.approx(dense.nll_loss.item(), rel=TOLERANCE[dtype])


def _list(readout):
    return readout.logits().detach().double().tolist()


@pytest.mark.parametrize(
    "tail,divergence",
    [("ghost", d) for d in KINDS] + [("drop", d) for d in FINITE],
    ids=str,
)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_top_k_equals_a_naive_reference(dtype, settings, tail, divergence):
    settings = LossSettings(*settings, divergence)
    student, teacher, target = models(dtype)
    sparse = top_k(teacher, settings.temperature, tail)

    def outcomes(row, s):
        ids, t = sparse.ids[row].tolist(), sparse.lprobs[row].double().exp().tolist()
        return t, [s[i] for i in ids] + [sum(p for i, p in enumerate(s) if i not in ids)]

    want = naive(student.logits(), outcomes, target, settings)
    fused = fused_distillation_loss(student, sparse, target, settings)
    dense = dense_distillation_loss(student.logits(), sparse, target, settings)
    for terms in (fused, dense):
        got = terms.loss.item(), terms.kd_loss.item()
        assert got == pytest.approx(want, rel=TOLERANCE[dtype], abs=TOLERANCE[dtype])
    gradients = [torch.autograd.grad(terms.loss, leaves(student)) for terms in (fused, dense)]
    assert_close(*gradients, TOLERANCE[dtype])
    assert fused.n_correct == dense.n_correct


@pytest.mark.parametrize("divergence", FINITE, ids=str)
def test_drop_is_the_whole_divergence_from_a_teacher_without_a_tail(divergence):
    """What the formula of `drop` means: every symbol outside has probability 0."""
    settings = LossSettings(1.0, 1.0, 0.0, 6, divergence)
    student, teacher, target = models(torch.float64)
    sparse = top_k(teacher, 1.0, "drop")
    complete = torch.full((N, V), NOTHING, dtype=torch.float64)
    complete.scatter_(1, sparse.ids, sparse.lprobs[:, :-1])
    got = fused_distillation_loss(student, sparse, target, settings)
    want = dense_distillation_loss(student.logits(), complete, target, settings)
    assert got.loss.item() == pytest.approx(want.loss.item(), rel=1e-12)
    gradients = [torch.autograd.grad(x.loss, leaves(student)) for x in (got, want)]
    assert_close(*gradients, 1e-12)


@BY_KIND
def test_closed_form_gradients_are_autograds(divergence):
    gen = torch.Generator().manual_seed(3)
    logits_s, logits_t = torch.randn(2, 40, 9, generator=gen, dtype=torch.float64) * 4
    logits_s.requires_grad_()
    lprobs_s, lprobs_t = logits_s.log_softmax(-1), logits_t.log_softmax(-1)
    want = divergence_of_lprobs(lprobs_s, lprobs_t, divergence)
    (gradient,) = torch.autograd.grad(want.sum(), logits_s)
    value, ours = value_and_gradient(lprobs_s.detach(), lprobs_t, divergence)
    torch.testing.assert_close(value, want.detach(), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(ours, gradient, rtol=1e-10, atol=1e-12)


@BY_KIND
def test_zero_only_for_equal_models_and_less_for_fewer_outcomes(divergence):
    student, teacher, target = models(torch.float64)
    settings = LossSettings(1.0, 1.0, 0.0, 256, divergence)
    own = LinearOutput(*(x.detach() for x in leaves(student)))
    assert fused_distillation_loss(student, own, target, settings).loss.abs().item() < 1e-13
    everything = fused_distillation_loss(student, teacher, target, settings).loss.item()
    ghost = fused_distillation_loss(student, top_k(teacher, 1.0, "ghost"), target, settings)
    assert 0 < ghost.loss.item() < everything  # joining outcomes loses information


def test_jsd_ends_are_the_limits_of_the_two_kls():
    student, teacher, target = models(torch.float64)

    def loss(name, beta=0.5):
        settings = LossSettings(1.0, 1.0, 0.0, 256, Divergence(name, beta))
        return fused_distillation_loss(student, teacher, target, settings).loss.item()

    assert loss("jsd", 1e-6) / 1e-6 == pytest.approx(loss("forward_kl"), rel=1e-3)
    assert loss("jsd", 1 - 1e-6) / 1e-6 == pytest.approx(loss("reverse_kl"), rel=1e-3)
    assert loss("jsd", 0.0) == loss("forward_kl") and loss("jsd", 1.0) == loss("reverse_kl")
    assert len(DIVERGENCES) == 4 and {d.name for d in KINDS} == set(DIVERGENCES)


@BY_KIND
def test_float32_stays_finite_where_both_models_are_sure_of_different_symbols(divergence):
    logits = torch.zeros(2, V)
    logits[0, 0] = logits[1, 1] = 200.0
    student = LinearOutput(torch.eye(2).requires_grad_(), logits.t().contiguous().requires_grad_())
    target, settings = torch.tensor([0, 1]), LossSettings(1.0, 1.0, 0.0, 256, divergence)
    swapped = LinearOutput(torch.eye(2).flip(0), logits.t().contiguous())
    ids = torch.tensor([[1, 2], [0, 2]])
    lprobs = torch.tensor([[0.0, -24.0, -24.0]]).repeat(2, 1)
    for teacher in (swapped, TopKOutput(ids, lprobs, V)):
        terms = fused_distillation_loss(student, teacher, target, settings)
        gradients = torch.autograd.grad(terms.loss, [student.hidden, student.weight])
        assert all(torch.isfinite(x).all() for x in (terms.loss, *gradients))
        assert terms.loss > 0.1
