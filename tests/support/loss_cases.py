"""Random heads of two models, the top-k of a teacher, and the losses written down naively."""

import itertools

import torch

from lightpaff_fairseq.losses import DIVERGENCES, Divergence, LinearOutput, TopKOutput
from lightpaff_fairseq.losses.top_k import NOTHING

N, V, C_S, C_T, K = 23, 17, 5, 7, 4
# every entry of the registry; those with a parameter at all of its values, limits included
VALUES = {"beta": (0.0, 0.1, 0.5, 0.9, 1.0), "skew": (0.0, 0.1, 0.7)}
REQUESTS = [
    Divergence(name, **({entry.parameter: value} if entry.parameter else {}))
    for name, entry in DIVERGENCES.items()
    for value in VALUES.get(entry.parameter, (None,))
]
TAILS = ("complete", "ghost", "drop")


def pairwise(*axes):
    """Choose cases so that any two values of two axes meet in one of them."""
    cells = list(itertools.combinations(range(len(axes)), 2))
    missing = {(i, j, a, b) for i, j in cells for a in axes[i] for b in axes[j]}

    def covered(case):
        return {(i, j, case[i], case[j]) for i, j in cells} & missing

    cases = []
    while missing:
        cases.append(max(itertools.product(*axes), key=lambda case: len(covered(case))))
        missing -= covered(cases[-1])
    return cases


def heads(dtype=torch.float64, bias=True, seed=0):
    """(student with gradients, teacher, labels)."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    def output(width):
        return LinearOutput(draw(N, width), draw(V, width), draw(V) if bias else None)

    student, teacher = output(C_S), output(C_T)
    for leaf in leaves(student):
        leaf.requires_grad_()
    return student, teacher, torch.randint(V, (N,), generator=generator)


def leaves(student):
    return [x for x in (student.hidden, student.weight, student.bias) if x is not None]


def gradients(loss, student):
    return torch.autograd.grad(loss, leaves(student))


def as_float64(output, grad=False):
    """A copy that keeps the rounding of the original."""
    return LinearOutput(*(x.detach().double().requires_grad_(grad) for x in leaves(output)))


def top_k(teacher, temperature, tail):
    """The K most probable tokens at a temperature, with the rest in a bucket, or without it."""
    probs = (teacher.logits().double() / temperature).softmax(-1)
    values, ids = probs.topk(K)
    if tail == "drop":
        rest = torch.full_like(values[:, :1], NOTHING)
        lprobs = torch.cat([(values / values.sum(-1, keepdim=True)).log(), rest], -1)
    else:
        lprobs = torch.cat([values, 1 - values.sum(-1, keepdim=True)], -1).log()
    return TopKOutput(ids, lprobs.to(teacher.hidden.dtype), V)


def with_tail(teacher, temperature, tail):
    return teacher if tail == "complete" else top_k(teacher, temperature, tail)


def naive_divergence(t, s, divergence):
    """One position: sums over two lists of probabilities."""
    name, beta = divergence.name, divergence.beta
    if name.startswith("skew"):
        first, second = (s, t) if "reverse" in name else (t, s)
        a = divergence.skew
        mixtures = [a * x + (1 - a) * y for x, y in zip(first, second)]
        return sum(x * (x / m).log() for x, m in zip(first, mixtures) if x)
    if name == "tvd":
        return 0.5 * sum(abs(a - b) for a, b in zip(t, s))
    if name == "forward_kl" or (name == "jsd" and beta == 0):
        return sum(a * (a / b).log() for a, b in zip(t, s) if a)
    if name == "reverse_kl" or (name == "jsd" and beta == 1):
        return sum(b * (b / a).log() for a, b in zip(t, s))
    m = [beta * a + (1 - beta) * b for a, b in zip(t, s)]
    of_teacher = sum(a * (a / c).log() for a, c in zip(t, m) if a)
    return beta * of_teacher + (1 - beta) * sum(b * (b / c).log() for b, c in zip(s, m))


def naive_softmax(logits):
    return logits.exp() / logits.exp().sum()


def naive_outcomes(teacher, temperature, row, s):
    """What is compared at one position: lists of the teacher's and the student's probabilities."""
    if not isinstance(teacher, TopKOutput):
        logits = as_float64(teacher).logits(slice(row, row + 1))[0]
        return list(naive_softmax(logits / temperature)), list(s)
    ids = teacher.ids[row].tolist()
    rest = sum(p for i, p in enumerate(s) if i not in ids)
    return list(teacher.lprobs[row].double().exp()), [*s[ids], rest]


def naive_loss(logits_s, teacher, target, settings):
    """(loss, nll, kd) by the formula of the documentation, position by position, in float64."""
    loss = nll = kd = torch.zeros((), dtype=torch.float64)
    lam, t, eps = settings.kd_lambda, settings.temperature, settings.label_smoothing
    for row, (z, y) in enumerate(zip(logits_s.double(), target.tolist())):
        p = naive_softmax(z)
        pair = naive_outcomes(teacher, t, row, naive_softmax(z / t))
        soft = naive_divergence(*pair, settings.divergence) * t * t
        smooth = -sum(p[v].log() for v in range(V) if v != y) * eps / (V - 1)
        task = -(1 - eps) * p[y].log() + smooth
        loss = loss + (1 - lam) * task + lam * soft
        nll, kd = nll - p[y].log(), kd + soft
    return loss, nll, kd


def assert_near(observed, expected, tolerance):
    """Compare tensors, relative to the largest value that is expected."""
    for a, b in zip(observed, expected, strict=True):
        if b is None:
            assert a is None
            continue
        limit = tolerance * max(1.0, b.abs().max().item())
        assert (a.double() - b.double()).abs().max() <= limit
