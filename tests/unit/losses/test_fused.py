"""The fused and the dense loss against a naive float64 reference, and against each other."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies

from lightpaff_fairseq.losses import (
    LinearOutput,
    LogitsOutput,
    LossSettings,
    TopKOutput,
    dense_distillation_loss,
    fused_distillation_loss,
)
from loss_cases import (
    REQUESTS,
    TAILS,
    N,
    V,
    as_float64,
    assert_near,
    gradients,
    heads,
    naive_loss,
    pairwise,
    with_tail,
)

# (temperature, epsilon, chunk)
OPTIONS = ((1.0, 0.0, 256), (1.0, 0.1, 5), (2.5, 0.1, 7), (0.5, 0.0, 1))
# relative to the largest value compared; bfloat16 keeps 8 bits of its logits and gradients
TOLERANCE = {torch.float64: 1e-11, torch.float32: 3e-6, torch.bfloat16: 3e-2, torch.float16: 4e-3}
EXACT = (torch.float64, torch.float32)


def dense(student, teacher, target, settings):
    complete = teacher if isinstance(teacher, TopKOutput) else teacher.logits()
    return dense_distillation_loss(student.logits(), complete, target, settings)


def compare_with_the_reference(dtype, tail, settings):
    student, teacher, target = heads(dtype)
    teacher = with_tail(teacher, settings.temperature, tail)
    reference = as_float64(student, grad=True)
    expected = naive_loss(reference.logits(), teacher, target, settings)
    expected_gradients = gradients(expected[0], reference)
    tolerance = TOLERANCE[dtype]
    both = [loss(student, teacher, target, settings) for loss in (fused_distillation_loss, dense)]
    for terms in both:
        for observed, value in zip(terms[:3], expected, strict=True):
            assert observed.item() == pytest.approx(value.item(), rel=tolerance, abs=10 * tolerance)
        observed = gradients(terms.loss, student)
        assert all(gradient.dtype == dtype for gradient in observed)
        assert_near(observed, expected_gradients, tolerance)
    assert both[0].n_correct == both[1].n_correct


@pytest.mark.parametrize("dtype,lam,options", pairwise(TOLERANCE, (0.0, 0.3, 1.0), OPTIONS))
def test_every_dtype_follows_a_naive_float64_reference(dtype, lam, options):
    temperature, epsilon, chunk = options
    compare_with_the_reference(dtype, "complete", LossSettings(lam, temperature, epsilon, chunk))


def test_gradients_of_many_chunks_are_not_rounded_chunk_by_chunk():
    """40 times the same positions: one chunk against 920, and against sums that are rounded."""
    student, teacher, target = heads(torch.bfloat16, bias=False)
    repeated = [LinearOutput(x.hidden.repeat(40, 1), x.weight) for x in (student, teacher)]

    def gradient(chunk):
        options = LossSettings(0.5, chunk_tokens=chunk)
        terms = fused_distillation_loss(*repeated, target.repeat(40), options)
        return torch.autograd.grad(terms.loss, student.weight)[0]

    whole = gradient(40 * N)
    rounded = torch.zeros_like(whole)
    for _ in range(40):
        rounded += whole / 40
    by_chunks, by_sums = ((x - whole).float().norm() for x in (gradient(1), rounded))
    assert by_chunks < 0.005 * whole.float().norm() < by_sums / 3


CASES = pairwise(REQUESTS, TAILS, (0.3, 1.0), OPTIONS, EXACT)


@pytest.mark.slow
@pytest.mark.parametrize(
    "divergence,tail,lam,options,dtype",
    [case for case in CASES if case[1] != "drop" or case[0].finite_at_zero],
)
def test_every_divergence_and_tail_equals_a_naive_reference(divergence, tail, lam, options, dtype):
    temperature, epsilon, chunk = options
    settings = LossSettings(lam, temperature, epsilon, chunk, divergence)
    compare_with_the_reference(dtype, tail, settings)


@settings(max_examples=60, deadline=None)
@given(data=strategies.data(), seed=strategies.integers(0, 2**31))
def test_fused_equals_dense_whatever_the_sizes(data, seed):
    sizes = strategies.integers
    n, vocab, width_s, width_t = (data.draw(sizes(1, most)) for most in (9, 12, 6, 6))
    vocab += 1  # label smoothing has V - 1 tokens to give to
    options = LossSettings(
        kd_lambda=data.draw(strategies.floats(0, 1)),
        temperature=data.draw(strategies.floats(0.25, 8)),
        label_smoothing=data.draw(strategies.floats(0, 0.9)),
        chunk_tokens=data.draw(sizes(1, 12)),
        divergence=data.draw(strategies.sampled_from(REQUESTS)),
    )
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    bias = draw(vocab).requires_grad_() if data.draw(strategies.booleans()) else None
    hidden, weight = draw(n, width_s).requires_grad_(), draw(vocab, width_s).requires_grad_()
    student, teacher = LinearOutput(hidden, weight, bias), LogitsOutput(draw(n, vocab) * width_t)
    target = torch.randint(vocab, (n,), generator=generator)
    fused = fused_distillation_loss(student, teacher, target, options)
    expected = dense(student, teacher, target, options)
    assert_near(fused, expected, 1e-10)
    assert_near(gradients(fused.loss, student), gradients(expected.loss, student), 1e-10)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_chunk_size_changes_nothing(temperature):
    student, teacher, target = heads()
    results = []
    for chunk in (1, 4, N - 1, N, 1000):
        options = LossSettings(0.4, temperature, 0.1, chunk)
        terms = fused_distillation_loss(student, teacher, target, options)
        results.append([*terms[:3], *gradients(terms.loss, student)])
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-12, atol=1e-12)


def test_teacher_equal_to_student_gives_exactly_zero_kd():
    student, _, target = heads(torch.float32)
    same = LinearOutput(*(x.detach() for x in (student.hidden, student.weight, student.bias)))
    for temperature in (1.0, 2.0):
        terms = fused_distillation_loss(student, same, target, LossSettings(1.0, temperature))
        assert terms.kd_loss.item() == 0 and terms.loss.item() == 0
        assert all(g.abs().max() < 1e-6 for g in gradients(terms.loss, student))


def test_any_source_of_teacher_logits_gives_the_same_loss():
    student, teacher, target = heads(torch.float32)
    options = LossSettings(0.7, 1.5, 0.0, 4)
    logits = teacher.logits()
    linear, complete, normalized = (
        fused_distillation_loss(student, source, target, options).loss
        for source in (teacher, LogitsOutput(logits), LogitsOutput(logits.log_softmax(-1)))
    )
    for other in (complete, normalized):
        torch.testing.assert_close(other, linear, rtol=1e-5, atol=1e-5)


def test_no_bias_no_positions_and_frozen_parts():
    student, teacher, target = heads(torch.float32, bias=False)
    options = LossSettings(0.5)
    loss = fused_distillation_loss(student, teacher, target, options).loss
    assert len(gradients(loss, student)) == 2
    empty = LinearOutput(student.hidden[:0], student.weight)
    empty_t = LinearOutput(teacher.hidden[:0], teacher.weight)
    loss = fused_distillation_loss(empty, empty_t, target[:0], options).loss
    assert loss.item() == 0 and not any(g.any() for g in gradients(loss, student))
    frozen_head = LinearOutput(student.hidden, student.weight.detach())
    loss = fused_distillation_loss(frozen_head, teacher, target, options).loss
    assert torch.autograd.grad(loss, [student.hidden])[0].abs().sum() > 0


def test_gradient_is_scaled_by_the_incoming_one_and_taken_once():
    student, teacher, target = heads(torch.float32)

    def loss():
        return fused_distillation_loss(student, teacher, target, LossSettings(0.5)).loss

    once, scaled = gradients(loss(), student), gradients(loss() * 128, student)
    torch.testing.assert_close([x * 128 for x in once], list(scaled))
    twice = loss()
    torch.autograd.grad(twice, [student.hidden], retain_graph=True)
    with pytest.raises(RuntimeError, match="only once"):
        torch.autograd.grad(twice, [student.hidden])


def test_float16_gradients_of_small_probabilities_do_not_underflow():
    """p_s of 1e-8 is below float16's smallest number; with a loss scale the gradient is not."""
    vocab, scale = 4096, 2.0**14
    hidden = torch.zeros(1, 2, dtype=torch.float16, requires_grad=True)
    weight = torch.zeros(vocab, 2, dtype=torch.float16, requires_grad=True)
    bias = torch.zeros(vocab, dtype=torch.float16)
    bias[0] = 20.0
    student = LinearOutput(hidden, weight, bias.requires_grad_())
    teacher = LogitsOutput(torch.zeros(1, vocab).index_fill_(1, torch.tensor([0]), 1e4))
    target = torch.zeros(1, dtype=torch.long)
    loss = fused_distillation_loss(student, teacher, target, LossSettings(1.0)).loss
    (gradient,) = torch.autograd.grad(loss * scale, [student.bias])
    assert gradient[1].item() == pytest.approx(scale * math.exp(-20.0), rel=0.05)


def test_sizes_that_differ_are_refused():
    student, teacher, target = heads(torch.float32)
    with pytest.raises(ValueError, match="predicts 16 tokens, the student 17"):
        smaller = LogitsOutput(torch.zeros(N, V - 1))
        fused_distillation_loss(student, smaller, target, LossSettings(0.5))
    with pytest.raises(ValueError, match=r"target: expected .* 23 positions, got shape \(22,\)"):
        fused_distillation_loss(student, teacher, target[1:], LossSettings(0.5))


def test_counting_correct_labels_is_all_that_accuracy_changes():
    student, teacher, target = heads(torch.float32)
    counted, not_counted = (
        fused_distillation_loss(
            student, teacher, target, LossSettings(0.5, 2.0, 0.1, 5, accuracy=accuracy)
        )
        for accuracy in (True, False)
    )
    expected = student.logits().argmax(-1).eq(target).sum()
    assert counted.n_correct == expected > 0 and not_counted.n_correct == 0
    assert torch.equal(counted.loss, not_counted.loss)
    for a, b in zip(gradients(counted.loss, student), gradients(not_counted.loss, student)):
        assert torch.equal(a, b)
