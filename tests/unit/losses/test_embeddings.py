"""Losses of sentence embeddings against naive formulas, and the map that keeps cosines."""

import math

import pytest
import torch
import torch.nn.functional as F

from lightpaff_fairseq.losses.embeddings import (
    OrthonormalProjection,
    cosine_distance,
    similarity_divergence,
)

S, T = (torch.randn(5, width, generator=torch.Generator().manual_seed(width)) for width in (3, 7))


def test_cosine_distance_is_half_the_squared_distance_of_normalized_embeddings():
    other = T.roll(1, 0)
    naive = (F.normalize(T, dim=-1) - F.normalize(other, dim=-1)).square().sum(-1) / 2
    assert torch.allclose(cosine_distance(T, other), naive, atol=1e-6)
    assert torch.allclose(cosine_distance(T, 3 * T), torch.zeros(5), atol=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_similarity_divergence_equals_loops_over_the_other_sentences(temperature):
    def probabilities(rows, i):
        cosines = [
            float(torch.cosine_similarity(rows[i], rows[j], 0)) / temperature
            for j in range(len(rows))
            if j != i
        ]
        total = sum(map(math.exp, cosines))
        return [math.exp(x) / total for x in cosines]

    naive = [
        sum(
            q * math.log(q / p)
            for p, q in zip(probabilities(S, i), probabilities(T, i), strict=True)
        )
        for i in range(5)
    ]
    assert similarity_divergence(S, T, temperature).tolist() == pytest.approx(naive, rel=1e-4)
    assert min(naive) > 0.01 and similarity_divergence(2 * T, T, 0.05).abs().max() < 1e-5
    alone = S[:1].clone().requires_grad_()
    similarity_divergence(alone, T[:1], temperature).sum().backward()
    assert alone.grad.eq(0).all()


def test_the_projection_keeps_lengths_and_cosines_while_it_learns():
    projection = OrthonormalProjection(3, 7)
    first = cosine_distance(projection(S), T).sum()
    for _ in range(50):
        loss = cosine_distance(projection(S), T).sum()
        (gradient,) = torch.autograd.grad(loss, projection.free)
        projection.free.data -= 0.5 * gradient
    assert loss < first - 0.5
    assert torch.allclose(projection(S) @ projection(S).T, S @ S.T, atol=1e-5)
