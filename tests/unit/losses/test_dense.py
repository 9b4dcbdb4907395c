"""The dense loss: its parts against PyTorch's and fairseq's own."""

import pytest
import torch
from torch.nn import functional

from lightpaff_fairseq.losses import (
    LossSettings,
    dense_distillation_loss,
    label_smoothed_nll,
    soft_loss,
)
from loss_cases import N, V, heads, top_k


def test_soft_loss_is_non_negative_and_zero_only_for_equal_models():
    logits = torch.randn(50, V)
    assert soft_loss(logits, logits, 2.0).abs().max() == 0
    assert (soft_loss(logits, torch.randn(50, V), 2.0) > 0).all()


def test_soft_loss_has_the_scale_of_torch_kl_div():
    a, b = torch.randn(4, V), torch.randn(4, V)
    lprobs = a.log_softmax(-1), b.log_softmax(-1)
    expected = functional.kl_div(*lprobs, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(soft_loss(a, b, 1.0), expected)


def test_label_smoothing_equals_fairseq():
    from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss

    logits, target = torch.randn(N, V), torch.randint(V, (N,))
    for epsilon in (0.0, 0.1):
        smoothed, nll = label_smoothed_nll(logits, target, epsilon)
        fairseq_losses = label_smoothed_nll_loss(logits.log_softmax(-1), target, epsilon)
        torch.testing.assert_close((smoothed.sum(), nll.sum()), fairseq_losses)


def test_a_top_k_teacher_has_one_temperature():
    student, teacher, target = heads()
    settings = LossSettings(0.5, torch.ones(N))
    with pytest.raises(
        ValueError, match="temperature: expected a number for a teacher without logits"
    ):
        dense_distillation_loss(student.logits(), top_k(teacher, 1.0, "ghost"), target, settings)
