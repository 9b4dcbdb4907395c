"""Top-k teachers: what a missing tail means."""

import pytest
import torch

from lightpaff_fairseq.losses import (
    LossSettings,
    dense_distillation_loss,
    fused_distillation_loss,
)
from lightpaff_fairseq.losses.top_k import NOTHING
from loss_cases import REQUESTS, N, V, assert_near, gradients, heads, top_k

FINITE = [request for request in REQUESTS if request.finite_at_zero]


def test_only_reverse_kl_needs_a_tail():
    infinite = [(request.name, request.parameter) for request in REQUESTS if request not in FINITE]
    assert infinite == [("reverse_kl", 0), ("jsd", 1.0), ("skew_reverse_kl", 0.0)]


@pytest.mark.parametrize("divergence", FINITE, ids=str)
def test_drop_is_the_whole_divergence_from_a_teacher_without_a_tail(divergence):
    """The formula of `drop`: every token outside has probability 0."""
    settings = LossSettings(1.0, 1.0, 0.0, 6, divergence)
    student, teacher, target = heads()
    sparse = top_k(teacher, 1.0, "drop")
    complete = torch.full((N, V), NOTHING, dtype=torch.float64)
    complete.scatter_(1, sparse.ids, sparse.lprobs[:, :-1])
    fused = fused_distillation_loss(student, sparse, target, settings)
    dense = dense_distillation_loss(student.logits(), complete, target, settings)
    assert fused.loss.item() == pytest.approx(dense.loss.item(), rel=1e-12)
    assert_near(gradients(fused.loss, student), gradients(dense.loss, student), 1e-12)
