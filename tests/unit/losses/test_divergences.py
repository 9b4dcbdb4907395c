"""The contract of every divergence in the registry, and of one more without a closed form."""

import math
from dataclasses import replace

import pytest
import torch

from lightpaff_fairseq.losses import (
    DIVERGENCES,
    Divergence,
    DivergenceEntry,
    LinearOutput,
    LossSettings,
    TopKOutput,
    dense_distillation_loss,
    divergence_of_lprobs,
    fused_distillation_loss,
)
from lightpaff_fairseq.losses.divergences import value_and_gradient
from loss_cases import (
    REQUESTS,
    TAILS,
    VALUES,
    V,
    assert_near,
    gradients,
    heads,
    naive_divergence,
    top_k,
    with_tail,
)

EVERY = pytest.mark.parametrize("divergence", REQUESTS, ids=lambda d: f"{d.name} {d.parameter}")


def lprobs(outcomes=9):
    """Log-probabilities of student and teacher at 40 positions; the student's logits."""
    generator = torch.Generator().manual_seed(3)
    logits_s, logits_t = torch.randn(2, 40, outcomes, generator=generator, dtype=torch.float64) * 4
    logits_s.requires_grad_()
    return logits_s.log_softmax(-1), logits_t.log_softmax(-1), logits_s


def test_the_contract_runs_over_the_whole_registry():
    assert {request.name for request in REQUESTS} == set(DIVERGENCES)
    assert len(DIVERGENCES) == 6
    assert len(REQUESTS) == 3 + len(VALUES["beta"]) + 2 * len(VALUES["skew"])
    assert all(entry.closed_form is not None for entry in DIVERGENCES.values())


@EVERY
def test_a_value_is_the_formula_positive_and_zero_for_equal_models(divergence):
    lprobs_s, lprobs_t, _ = lprobs()
    values = divergence_of_lprobs(lprobs_s.detach(), lprobs_t, divergence)
    naive = [
        naive_divergence(t.exp(), s.exp(), divergence).item()
        for s, t in zip(lprobs_s.detach(), lprobs_t)
    ]
    assert values.tolist() == pytest.approx(naive, rel=1e-10)
    assert (values > 0).all()
    same = divergence_of_lprobs(lprobs_t, lprobs_t, divergence)
    assert same.abs().max() < 1e-14


@EVERY
def test_the_closed_form_is_what_autograd_gives(divergence):
    lprobs_s, lprobs_t, logits_s = lprobs()
    value = divergence_of_lprobs(lprobs_s, lprobs_t, divergence)
    (gradient,) = torch.autograd.grad(value.sum(), logits_s)
    closed = value_and_gradient(lprobs_s.detach(), lprobs_t, divergence)
    torch.testing.assert_close(closed[0], value.detach(), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(closed[1], gradient, rtol=1e-10, atol=1e-12)


def terms_and_gradients(loss, student, teacher, target, settings):
    terms = loss(student, teacher, target, settings)
    return [*terms[:3], *gradients(terms.loss, student)]


def dense(student, teacher, target, settings):
    complete = teacher if isinstance(teacher, TopKOutput) else teacher.logits()
    return dense_distillation_loss(student.logits(), complete, target, settings)


@pytest.mark.parametrize(
    "divergence,tail",
    [(x, tail) for x in REQUESTS for tail in TAILS if x.finite_at_zero or tail != "drop"],
)
def test_fused_equals_dense_with_and_without_the_closed_form(divergence, tail, monkeypatch):
    student, teacher, target = heads()
    settings = LossSettings(0.3, 2.5, 0.1, 7, divergence)
    case = (student, with_tail(teacher, 2.5, tail), target, settings)
    expected = terms_and_gradients(dense, *case)
    assert_near(terms_and_gradients(fused_distillation_loss, *case), expected, 1e-11)
    entry = replace(divergence.entry, closed_form=None)
    monkeypatch.setitem(DIVERGENCES, divergence.kind, entry)
    assert_near(terms_and_gradients(fused_distillation_loss, *case), expected, 1e-11)


@EVERY
def test_zero_only_for_equal_models_and_less_for_fewer_outcomes(divergence):
    student, teacher, target = heads()
    settings = LossSettings(1.0, divergence=divergence)

    def loss(teacher):
        return fused_distillation_loss(student, teacher, target, settings).loss.item()

    own = LinearOutput(*(x.detach() for x in (student.hidden, student.weight, student.bias)))
    assert abs(loss(own)) < 1e-13
    assert 0 < loss(top_k(teacher, 1.0, "ghost")) < loss(teacher)  # joining loses information


@EVERY
def test_float32_stays_finite_where_both_models_are_sure_of_different_tokens(divergence):
    logits = torch.zeros(2, V)
    logits[0, 0] = logits[1, 1] = 200.0
    student = LinearOutput(torch.eye(2).requires_grad_(), logits.t().contiguous().requires_grad_())
    swapped = LinearOutput(torch.eye(2).flip(0), logits.t().contiguous())
    ids = torch.tensor([[1, 2], [0, 2]])
    sparse = TopKOutput(ids, torch.tensor([[0.0, -24.0, -24.0]]).repeat(2, 1), V)
    target, settings = torch.tensor([0, 1]), LossSettings(1.0, divergence=divergence)
    for teacher in (swapped, sparse):
        loss, *rest = terms_and_gradients(
            fused_distillation_loss, student, teacher, target, settings
        )
        assert loss > 0.1 and all(torch.isfinite(x).all() for x in (loss, *rest))


@EVERY
def test_tokens_that_both_models_exclude_have_no_gradient(divergence):
    generator = torch.Generator().manual_seed(3)
    logits_s, logits_t = torch.randn(2, 4, V, generator=generator)
    less = [x[:, 2:].log_softmax(-1) for x in (logits_s, logits_t)]
    logits_s[:, :2] = logits_t[:, :2] = -torch.inf
    lprobs = [x.log_softmax(-1) for x in (logits_s, logits_t)]
    expected = value_and_gradient(*less, divergence)
    value, gradient = value_and_gradient(*lprobs, divergence)
    torch.testing.assert_close(value, expected[0])
    torch.testing.assert_close(gradient[:, 2:], expected[1])
    assert not gradient[:, :2].any()
    leaf = lprobs[0].requires_grad_()
    divergence_of_lprobs(leaf, lprobs[1], divergence).sum().backward()
    assert leaf.grad.isfinite().all()


def test_jsd_ends_are_the_limits_of_the_two_kls():
    student, teacher, target = heads()

    def loss(name, beta=0.5):
        settings = LossSettings(1.0, divergence=Divergence(name, beta))
        return fused_distillation_loss(student, teacher, target, settings).loss.item()

    assert loss("jsd", 1e-8) / 1e-8 == pytest.approx(loss("forward_kl"), rel=1e-3)
    assert loss("jsd", 1 - 1e-8) / 1e-8 == pytest.approx(loss("reverse_kl"), rel=1e-3)
    assert loss("jsd", 0.0) == loss("forward_kl") and loss("jsd", 1.0) == loss("reverse_kl")


def test_a_skew_of_zero_is_the_plain_kl():
    student, teacher, target = heads()
    for plain, skewed in (("forward_kl", "skew_kl"), ("reverse_kl", "skew_reverse_kl")):
        requests = (Divergence(plain), Divergence(skewed, skew=0.0), Divergence(skewed, skew=1e-12))
        expected, exact, near = (
            fused_distillation_loss(student, teacher, target, LossSettings(1.0, divergence=x)).loss
            for x in requests
        )
        assert exact == expected and near.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("tail", TAILS)
def test_a_new_entry_needs_a_value_only(tail, monkeypatch):
    """Squared Hellinger distance: 1 - sum sqrt(t s)."""
    entry = DivergenceEntry(lambda s, t, beta: 1 - (0.5 * (s + t)).exp().sum(-1))
    monkeypatch.setitem(DIVERGENCES, "hellinger", entry)
    student, teacher, target = heads()
    settings = LossSettings(1.0, 1.5, 0.0, 6, Divergence("hellinger"))
    teacher = with_tail(teacher, 1.5, tail)
    case = (student, teacher, target, settings)
    expected = terms_and_gradients(dense, *case)
    assert 0 < expected[0] < 1.5**2 * len(target)
    assert_near(terms_and_gradients(fused_distillation_loss, *case), expected, 1e-12)
    if tail == "complete":
        s, t = ((x.logits().detach() / 1.5).softmax(-1) for x in (student, teacher))
        naive = sum(1 - sum(math.sqrt(a * b) for a, b in zip(*rows)) for rows in zip(s, t))
        assert expected[0].item() == pytest.approx(1.5**2 * naive, rel=1e-12)


def test_unknown_names_are_refused():
    student, teacher, target = heads()
    settings = LossSettings(0.5, divergence=Divergence("kl"))
    for loss in (fused_distillation_loss, dense):
        with pytest.raises(ValueError, match="'kl': expected one of forward_kl, reverse_kl, jsd"):
            loss(student, teacher, target, settings)
