"""Feature distances against loops over sentences, positions and heads in float64."""

import math

import pytest
import torch

from lightpaff_fairseq.losses import features

B, T, S, H, C, D = 3, 5, 4, 2, 6, 3
LENGTHS, KEYS = (5, 3, 1), (4, 2, 3)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def masks():
    queries = torch.arange(T) < torch.tensor(LENGTHS).unsqueeze(1)
    keys = torch.arange(S) < torch.tensor(KEYS).unsqueeze(1)
    return queries, keys


def mean(values):
    return sum(values) / len(values)


def square(a, b):
    return mean([(x - y) ** 2 for x, y in zip(a.flatten(), b.flatten())])


def softmax(row):
    exp = [math.exp(x) for x in row]
    return [x / sum(exp) for x in exp]


def states(name, s, t, b):
    """The reference of a distance of hidden states, for sentence b."""
    n = LENGTHS[b]
    s, t = s[b, :n], t[b, :n]
    if name == "mse":
        return mean([square(s[i], t[i]) for i in range(n)])
    if name == "cosine":
        return mean([1 - s[i] @ t[i] / (s[i].norm() * t[i].norm()) for i in range(n)])
    if name == "pkd":
        return square(s[0] / s[0].norm(), t[0] / t[0].norm())
    if name == "token":
        return mean(
            [(s[i] @ s[j] / C - t[i] @ t[j] / t.size(1)) ** 2 for i in range(n) for j in range(n)]
        )
    return mean(
        [
            (sum(s[i, a] * s[i, b] - t[i, a] * t[i, b] for i in range(n)) / n) ** 2
            for a in range(C)
            for b in range(C)
        ]
    )


STATES = {**features.HIDDEN, "token": features.token_relation, "channel": features.channel_relation}


@pytest.mark.parametrize("name", STATES)
def test_distances_of_hidden_states(name):
    s, t = draw(B, T, C, seed=1), draw(B, T, C, seed=2)
    got = STATES[name](s, t, masks()[0])
    expected = [float(states(name, s, t, b)) for b in range(B)]
    assert got.tolist() == pytest.approx(expected, rel=1e-9)


def test_widths_may_differ_in_token_relations():
    s, t = draw(B, T, C, seed=1), draw(B, T, C + 3, seed=2)
    got = features.token_relation(s, t, masks()[0])
    assert got.tolist() == pytest.approx([float(states("token", s, t, b)) for b in range(B)])


def attention(name, s, t, b):
    rows, columns = LENGTHS[b], KEYS[b]
    s, t = s[b, :, :rows, :columns], t[b, :, :rows, :columns]
    if name.endswith("_sum"):
        s, t = s.sum(0, keepdim=True), t.sum(0, keepdim=True)
    if name.endswith("_mean"):
        s, t = s.mean(0, keepdim=True), t.mean(0, keepdim=True)
    if name.startswith("mse"):
        return square(s, t)
    losses = []
    for h in range(s.size(0)):
        for i in range(rows):
            p, q = softmax(t[h, i].tolist()), softmax(s[h, i].tolist())
            losses.append(-sum(a * math.log(b) for a, b in zip(p, q)))
    return mean(losses)


@pytest.mark.parametrize("name", features.ATTENTION)
def test_distances_of_attentions(name):
    heads_t = H if name in features.PER_HEAD else H + 1
    s, t = draw(B, H, T, S, seed=1), draw(B, heads_t, T, S, seed=2)
    got = features.ATTENTION[name](s, t, features.pair_mask(*masks()))
    expected = [float(attention(name, s, t, b)) for b in range(B)]
    assert got.tolist() == pytest.approx(expected, rel=1e-9)


def similarities(x, i):
    return [float(x[i] @ x[j]) / x.size(1) ** 0.5 for j in range(len(x))]


def test_relations_of_heads():
    s, t = draw(B, H, T, D, seed=1), draw(B, H, T, D + 2, seed=2)
    got = features.head_relation(s, t, masks()[0])
    for b in range(B):
        losses = []
        for h in range(H):
            for i in range(LENGTHS[b]):
                p, q = (softmax(similarities(x[b, h, : LENGTHS[b]], i)) for x in (t, s))
                losses.append(sum(x * math.log(x / y) for x, y in zip(p, q)))
        assert got[b].item() == pytest.approx(mean(losses), rel=1e-9, abs=1e-12)


def test_regrouping_heads():
    heads = draw(B, 4, T, 3)
    concatenated = torch.cat(list(heads.unbind(1)), dim=-1)
    for count in (1, 2, 4, 6):
        parts = torch.stack(concatenated.chunk(count, dim=-1), dim=1)
        assert torch.equal(features.regroup(heads, count), parts)


@pytest.mark.parametrize("name", [*STATES, *features.ATTENTION, "heads"])
def test_equal_features_are_at_the_minimum(name):
    """Zero where the distance has that minimum, and no gradient in any case."""
    queries, keys = masks()
    if name in features.ATTENTION:
        call, shape, mask = (
            features.ATTENTION[name],
            (B, H, T, S),
            features.pair_mask(queries, keys),
        )
    elif name == "heads":
        call, shape, mask = features.head_relation, (B, H, T, D), queries
    else:
        call, shape, mask = STATES[name], (B, T, C), queries
    s = draw(*shape).requires_grad_()
    value = call(s, s.detach(), mask)
    if not name.startswith("ce"):
        assert value.abs().max() < 1e-12
    assert torch.autograd.grad(value.sum(), s)[0].abs().max() < 1e-12


@pytest.mark.parametrize("name", [*STATES, *features.ATTENTION])
def test_what_stands_in_padding_does_not_matter(name):
    queries, keys = masks()
    pairs = features.pair_mask(queries, keys)
    is_attention = name in features.ATTENTION
    call = features.ATTENTION[name] if is_attention else STATES[name]
    shape = (B, H, T, S) if is_attention else (B, T, C)
    hole = ~pairs.unsqueeze(1) if is_attention else ~queries.unsqueeze(-1)
    s, t = draw(*shape, seed=1), draw(*shape, seed=2)
    mask = pairs if is_attention else queries
    clean, dirty = call(s, t, mask), call(s.masked_fill(hole, 1e3), t.masked_fill(hole, -7e2), mask)
    assert torch.equal(clean, dirty)
