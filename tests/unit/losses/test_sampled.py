"""Draws from a teacher: the loss is the formula, and its gradient that of the whole teacher."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lightpaff_fairseq.losses import (
    Divergence,
    LossSettings,
    SampledOutput,
    dense_distillation_loss,
    fused_distillation_loss,
)
from lightpaff_fairseq.losses.position_selection import Selection
from lightpaff_fairseq.teachers.cache.draws import (
    decode_samples,
    encode_draws,
    most_draws,
    uniform_numbers,
)
from loss_cases import N, V, assert_near, gradients, heads, naive_divergence, top_k

DRAWS = 50
SKEWED = Divergence("skew_kl", skew=0.2)


def drawn(teacher, seed=1, temperature=1.0):
    """The draws of all positions, as one sample of a cache."""
    numbers = uniform_numbers(seed, 1, [3], [N], DRAWS)
    probs = (teacher.logits() / temperature).softmax(-1)
    entries, lengths = encode_draws(probs, numbers)
    assert entries.nbytes == 3 * len(entries) and lengths.sum() == len(entries)
    ids, shares, counts = decode_samples(entries, np.array([len(entries)]), V, DRAWS)
    assert counts.tolist() == [N]
    return SampledOutput(ids, shares, V)


@pytest.mark.parametrize("divergence", [Divergence(), SKEWED], ids=lambda d: d.name)
@pytest.mark.parametrize("selection", [None, Selection("student_entropy", 0.4)])
def test_fused_and_dense_are_the_divergence_from_the_shares(divergence, selection):
    student, teacher, target = heads()
    draws = drawn(teacher, temperature=2.0)
    settings = LossSettings(0.3, 2.0, 0.1, 7, divergence, selection)
    fused = fused_distillation_loss(student, draws, target, settings)
    dense = dense_distillation_loss(student.logits(), draws, target, settings)
    assert_near(fused[:3], dense[:3], 1e-11)
    # float32 shares sum to 1 up to 1e-7
    assert_near(gradients(fused.loss, student), gradients(dense.loss, student), 1e-6)
    shares = torch.zeros(N, V, dtype=torch.float64).scatter_add_(
        1, draws.ids, draws.shares.double()
    )
    probs = (student.logits().detach() / 2).softmax(-1)
    naive = [4 * naive_divergence(t, s, divergence).item() for t, s in zip(shares, probs)]
    if selection is None:
        assert fused.kd_loss.item() == pytest.approx(sum(naive), rel=1e-6)  # shares are float32


def test_the_mean_gradient_is_that_of_the_teacher_unlike_that_of_top_k():
    """Within its standard error: 600 seeds, every coordinate of the gradient of the head."""
    student, teacher, target = heads()
    settings = LossSettings(1.0)

    def gradient(output):
        loss = fused_distillation_loss(student, output, target, settings).loss
        return gradients(loss, student)[1]

    exact = gradient(teacher)
    each = torch.stack([gradient(drawn(teacher, seed)) for seed in range(600)])
    deviations = (each.mean(0) - exact) / (each.std(0) / len(each) ** 0.5)
    assert deviations.square().mean().item() == pytest.approx(1.0, abs=0.3)
    assert deviations.abs().max() < 4.5
    biased = (gradient(top_k(teacher, 1.0, "drop")) - exact) / (each.std(0) / len(each) ** 0.5)
    assert biased.square().mean() > 100


def test_draws_depend_on_seed_epoch_and_sample_only():
    alone = uniform_numbers(7, 2, [5], [3], 4)
    together = uniform_numbers(7, 2, [9, 5], [2, 3], 4)[2:]
    assert (alone == together).all()
    others = [uniform_numbers(*x, [3], 4) for x in ((8, 2, [5]), (7, 1, [5]), (7, 2, [6]))]
    assert all((alone != other).all() for other in others)


def test_every_token_and_count_fits_into_three_bytes():
    vocab = 131_072
    assert most_draws(vocab) == 127 and most_draws(V) > 10**5
    probs = torch.zeros(2, vocab).index_fill_(1, torch.tensor([vocab - 1]), 1.0)
    entries, lengths = encode_draws(probs, np.random.default_rng(0).random((2, 127)))
    ids, shares, counts = decode_samples(entries, np.array([0, 2, 0]), vocab, 127)
    assert ids.tolist() == [[vocab - 1]] * 2 and shares.tolist() == [[1.0]] * 2
    assert counts.tolist() == [0, 2, 0] and lengths.tolist() == [1, 1]
    with pytest.raises(ValueError, match="do not sum to 100 draws"):
        decode_samples(entries, np.array([2]), vocab, 100)


def test_other_divergences_need_more_than_draws():
    student, teacher, target = heads()
    settings = LossSettings(0.5, divergence=Divergence("jsd"))
    for loss, output in (
        (fused_distillation_loss, student),
        (dense_distillation_loss, student.logits()),
    ):
        with pytest.raises(ValueError, match="jsd: expected forward_kl or skew_kl from draws"):
            loss(output, drawn(teacher), target, settings)
    forward = replace(settings, divergence=Divergence("jsd", 0.0))
    assert fused_distillation_loss(student, drawn(teacher), target, forward).loss > 0
