"""The loss functions against naive float64 references, and fused against dense."""

import math

import pytest
import torch
from torch.nn import functional as F

from lightpaff_fairseq.losses.dense import (
    LossSettings,
    dense_distillation_loss,
    label_smoothed_nll,
    soft_loss,
)
from lightpaff_fairseq.losses.fused import fused_distillation_loss
from lightpaff_fairseq.losses.model_output import LinearOutput, LogitsOutput

N, V, C_S, C_T = 23, 17, 5, 7


def naive(logits_s, logits_t, target, settings):
    """The formula of DESIGN, one position and one symbol at a time, in float64."""
    total = nll_sum = kd_sum = torch.zeros((), dtype=torch.float64)
    lam, t, eps = settings.kd_lambda, settings.temperature, settings.label_smoothing
    for z_s, z_t, y in zip(logits_s.double(), logits_t.double(), target.tolist()):
        p_s = z_s.exp() / z_s.exp().sum()
        soft_s = (z_s / t).exp() / (z_s / t).exp().sum()
        soft_t = (z_t / t).exp() / (z_t / t).exp().sum()
        kd = sum(soft_t[v] * (soft_t[v].log() - soft_s[v].log()) for v in range(V)) * t * t
        smooth = -sum(p_s[v].log() for v in range(V) if v != y) * eps / (V - 1)
        label = -(1 - eps) * p_s[y].log() + smooth
        total = total + (1 - lam) * label + lam * kd
        nll_sum, kd_sum = nll_sum - p_s[y].log(), kd_sum + kd
    return total, nll_sum, kd_sum


def tensors(dtype, bias=True, seed=0):
    gen = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=gen, dtype=torch.float64).to(dtype)

    student = LinearOutput(
        draw(N, C_S).requires_grad_(),
        draw(V, C_S).requires_grad_(),
        draw(V).requires_grad_() if bias else None,
    )
    teacher = LinearOutput(draw(N, C_T), draw(V, C_T), draw(V) if bias else None)
    return student, teacher, torch.randint(V, (N,), generator=gen)


def gradients(loss, student):
    leaves = [x for x in (student.hidden, student.weight, student.bias) if x is not None]
    return torch.autograd.grad(loss, leaves)


SETTINGS = [
    LossSettings(lam, temperature, eps, chunk)
    for lam in (0.0, 0.3, 1.0)
    for temperature, eps, chunk in ((1.0, 0.0, 256), (1.0, 0.1, 5), (2.5, 0.1, 7), (0.5, 0.0, 1))
]
# relative to the largest value compared; bfloat16 keeps 8 bits of its logits and gradients
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 3e-2, torch.float16: 4e-3}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("path", ["fused", "dense"])
@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
def test_loss_and_gradients_equal_a_naive_float64_reference(dtype, path, settings):
    student, teacher, target = tensors(dtype)
    if path == "fused":
        terms = fused_distillation_loss(student, teacher, target, settings)
    else:
        terms = dense_distillation_loss(student.logits(), teacher.logits(), target, settings)

    reference = LinearOutput(
        *(
            x.detach().double().requires_grad_()
            for x in (student.hidden, student.weight, student.bias)
        )
    )
    logits_t = LinearOutput(*(x.double() for x in (teacher.hidden, teacher.weight, teacher.bias)))
    expected = naive(reference.logits(), logits_t.logits(), target, settings)

    tolerance = TOLERANCE[dtype]
    for got, want in zip(terms[:3], expected):
        assert got.item() == pytest.approx(want.item(), rel=tolerance, abs=10 * tolerance)
    for got, want in zip(gradients(terms.loss, student), gradients(expected[0], reference)):
        assert got.dtype == dtype
        assert (got.double() - want).abs().max() <= tolerance * max(1.0, want.abs().max())


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_chunk_size_changes_nothing(temperature):
    results = []
    for chunk in (1, 4, N - 1, N, 1000):
        student, teacher, target = tensors(torch.float64)
        terms = fused_distillation_loss(
            student, teacher, target, LossSettings(0.4, temperature, 0.1, chunk)
        )
        results.append(
            torch.cat([torch.stack(terms[:3]), *map(torch.flatten, gradients(terms.loss, student))])
        )
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-12, atol=1e-12)


def test_teacher_equal_to_student_gives_exactly_zero_kd():
    student, _, target = tensors(torch.float32)
    same = LinearOutput(*(x.detach() for x in (student.hidden, student.weight, student.bias)))
    for temperature in (1.0, 2.0):
        terms = fused_distillation_loss(student, same, target, LossSettings(1.0, temperature))
        assert terms.kd_loss.item() == 0 and terms.loss.item() == 0
        assert all(g.abs().max() < 1e-6 for g in gradients(terms.loss, student))


def test_any_source_of_teacher_logits_gives_the_same_loss():
    student, teacher, target = tensors(torch.float32)
    settings = LossSettings(0.7, 1.5, 0.0, 4)
    linear = fused_distillation_loss(student, teacher, target, settings)
    complete = fused_distillation_loss(student, LogitsOutput(teacher.logits()), target, settings)
    lprobs = LogitsOutput(teacher.logits().log_softmax(-1))
    normalized = fused_distillation_loss(student, lprobs, target, settings)
    for other in (complete, normalized):
        torch.testing.assert_close(other.loss, linear.loss, rtol=1e-5, atol=1e-5)


def test_no_bias_no_positions_and_frozen_parts():
    student, teacher, target = tensors(torch.float32, bias=False)
    settings = LossSettings(0.5)
    assert (
        len(gradients(fused_distillation_loss(student, teacher, target, settings).loss, student))
        == 2
    )
    empty = LinearOutput(student.hidden[:0], student.weight)
    terms = fused_distillation_loss(
        empty, LinearOutput(teacher.hidden[:0], teacher.weight), target[:0], settings
    )
    assert terms.loss.item() == 0
    assert all(
        g.abs().sum() == 0
        for g in torch.autograd.grad(terms.loss, [student.hidden, student.weight])
    )
    frozen_head = LinearOutput(student.hidden, student.weight.detach())
    loss = fused_distillation_loss(frozen_head, teacher, target, settings).loss
    assert torch.autograd.grad(loss, [student.hidden])[0].abs().sum() > 0


def test_gradient_is_scaled_by_the_incoming_one_and_taken_once():
    student, teacher, target = tensors(torch.float32)
    once = fused_distillation_loss(student, teacher, target, LossSettings(0.5)).loss
    scaled = fused_distillation_loss(student, teacher, target, LossSettings(0.5)).loss * 128
    for a, b in zip(gradients(once, student), gradients(scaled, student)):
        torch.testing.assert_close(a * 128, b)
    loss = fused_distillation_loss(student, teacher, target, LossSettings(0.5)).loss
    torch.autograd.grad(loss, [student.hidden], retain_graph=True)
    with pytest.raises(RuntimeError, match="only once"):
        torch.autograd.grad(loss, [student.hidden])


def test_float16_gradients_of_small_probabilities_do_not_underflow():
    """p_s of 1e-8 is below float16's smallest number; with a loss scale the gradient is not."""
    vocab, scale = 4096, 2.0**14
    hidden = torch.zeros(1, 2, dtype=torch.float16, requires_grad=True)
    weight = torch.zeros(vocab, 2, dtype=torch.float16, requires_grad=True)
    bias = torch.zeros(vocab, dtype=torch.float16)
    bias[0] = 20.0
    student = LinearOutput(hidden, weight, bias.requires_grad_())
    teacher = LogitsOutput(torch.zeros(1, vocab).index_fill_(1, torch.tensor([0]), 1e4))
    loss = fused_distillation_loss(
        student, teacher, torch.zeros(1, dtype=torch.long), LossSettings(1.0)
    ).loss
    (grad,) = torch.autograd.grad(loss * scale, [student.bias])
    expected = scale * math.exp(-20.0)
    assert grad[1].item() == pytest.approx(expected, rel=0.05)


def test_vocabularies_of_different_size_are_refused():
    student, _, target = tensors(torch.float32)
    with pytest.raises(ValueError, match="predicts 16 tokens, the student 17"):
        fused_distillation_loss(
            student, LogitsOutput(torch.zeros(N, V - 1)), target, LossSettings(0.5)
        )


def test_soft_loss_is_non_negative_and_zero_only_for_equal_models():
    logits = torch.randn(50, V)
    assert soft_loss(logits, logits, 2.0).abs().max() == 0
    assert (soft_loss(logits, torch.randn(50, V), 2.0) > 0).all()


def test_soft_loss_has_the_scale_of_torch_kl_div():
    a, b = torch.randn(4, V), torch.randn(4, V)
    expected = F.kl_div(a.log_softmax(-1), b.log_softmax(-1), reduction="none", log_target=True)
    torch.testing.assert_close(soft_loss(a, b, 1.0), expected.sum(-1))


def test_label_smoothing_equals_fairseq():
    from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss

    logits, target = torch.randn(N, V), torch.randint(V, (N,))
    for epsilon in (0.0, 0.1):
        ours, nll = label_smoothed_nll(logits, target, epsilon)
        theirs = label_smoothed_nll_loss(logits.log_softmax(-1), target, epsilon)
        torch.testing.assert_close((ours.sum(), nll.sum()), theirs)


def test_counting_correct_labels_is_all_that_accuracy_changes():
    student, teacher, target = tensors(torch.float32)
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
