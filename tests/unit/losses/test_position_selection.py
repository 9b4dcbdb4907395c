"""The soft loss at chosen positions: which ones, and what the fused loss saves."""

from dataclasses import replace

import pytest
import torch

from lightpaff_fairseq.losses import (
    Divergence,
    LinearOutput,
    LossSettings,
    dense_distillation_loss,
    fused_distillation_loss,
)
from lightpaff_fairseq.losses.position_selection import (
    SCORES,
    DeferredOutput,
    Selection,
    largest,
    parse_selection,
)
from loss_cases import N, assert_near, gradients, heads, naive_loss, with_tail

SETTINGS = LossSettings(0.3, 2.0, 0.1, 4, Divergence("jsd"), Selection("student_entropy", 0.3))
K = 7  # 30 % of 23 positions, rounded up


def naive_scores(name, student, teacher, target, temperature):
    """The scores of all positions, from complete probabilities."""
    z = student.logits().detach()
    t, s = (x.softmax(-1) for x in (teacher.logits() / temperature, z / temperature))
    p = z.softmax(-1)
    label = p.gather(-1, target[:, None])[:, 0]
    other = p.scatter(-1, target[:, None], 0).amax(-1)
    return {
        "student_entropy": -(p * p.log()).sum(-1),
        "teacher_entropy": -(t * t.log()).sum(-1),
        "reverse_kl": (s * (s / t).log()).sum(-1),
        "cross_entropy": -label.log(),
        "confident_wrong": (other / label).log(),
    }[name]


def parts(student, teacher, target, settings, chosen):
    """The formula: the task loss everywhere, the soft loss at chosen positions."""
    logits, lam = student.logits(), settings.kd_lambda
    plain = replace(settings, selection=None)
    task = naive_loss(logits, teacher, target, replace(plain, kd_lambda=0.0))
    some = LinearOutput(teacher.hidden[chosen], teacher.weight, teacher.bias)
    soft = naive_loss(logits[chosen], some, target[chosen], replace(plain, kd_lambda=1.0))
    return (1 - lam) * task[0] + lam * soft[0], task[1], soft[2]


@pytest.mark.parametrize("name", sorted(SCORES.keys() - {"random"}))
@pytest.mark.parametrize("chunk", [4, 50])
def test_fused_and_dense_are_the_formula_at_the_positions_of_the_largest_scores(name, chunk):
    student, teacher, target = heads()
    settings = replace(SETTINGS, selection=Selection(name, 0.3), chunk_tokens=chunk)
    scores = naive_scores(name, student, teacher, target, 2.0)
    chosen = scores.topk(K).indices.sort().values
    expected = parts(student, teacher, target, settings, chosen)
    expected = [*expected, *gradients(expected[0], student)]
    for terms in (
        fused_distillation_loss(student, teacher, target, settings),
        dense_distillation_loss(student.logits(), teacher.logits(), target, settings),
    ):
        assert_near([*terms[:3], *gradients(terms.loss, student)], expected, 1e-11)


@pytest.mark.parametrize("tail", ["ghost", "drop"])
def test_from_top_k_only_the_chosen_positions_are_read(tail):
    student, teacher, target = heads()
    sparse, read = with_tail(teacher, 2.0, tail), []

    def at(positions):
        read.extend(positions.tolist())
        return sparse.at(positions)

    later = DeferredOutput(sparse.vocab_size, at)
    for name, count in (("cross_entropy", K), ("teacher_entropy", N)):
        settings = replace(SETTINGS, selection=Selection(name, 0.3))
        read.clear()
        now, deferred = (
            fused_distillation_loss(student, x, target, settings) for x in (sparse, later)
        )
        dense = dense_distillation_loss(student.logits(), sparse, target, settings)
        assert len(read) == count and read == sorted(read)
        assert deferred.loss == now.loss
        assert_near(gradients(now.loss, student), gradients(dense.loss, student), 1e-11)


@pytest.mark.parametrize(
    "name,rows", [("student_entropy", K), ("random", K), ("reverse_kl", N + K)]
)
def test_only_chosen_rows_go_through_the_teachers_head(name, rows, monkeypatch):
    student, teacher, target = heads(torch.float32)
    counted = {id(teacher): 0, "student": 0}

    def count(self, part=slice(None)):
        hidden = self.hidden[part]
        counted[id(teacher) if self is teacher else "student"] += len(hidden)
        return torch.nn.functional.linear(hidden, self.weight, self.bias)

    def fill(buffer, output, part):
        buffer.copy_(output.logits(part))

    monkeypatch.setattr(LinearOutput, "logits", count)
    monkeypatch.setattr("lightpaff_fairseq.losses.fused_selected.fill_logits", fill)
    settings = replace(SETTINGS, selection=Selection(name, 0.3))
    fused_distillation_loss(student, teacher, target, settings)
    assert counted == {id(teacher): rows, "student": N}


def test_a_share_of_one_is_the_loss_without_selection_and_chunks_choose_the_same():
    student, teacher, target = heads(torch.float32)
    everything = replace(SETTINGS, selection=Selection("student_entropy", 1.0))
    cases = (replace(SETTINGS, selection=None), everything)
    plain, selected = (fused_distillation_loss(student, teacher, target, x) for x in cases)
    assert all(a is b or torch.equal(a, b) for a, b in zip(plain, selected))
    for a, b in zip(gradients(plain.loss, student), gradients(selected.loss, student)):
        assert torch.equal(a, b)


def test_of_equal_scores_the_earlier_positions_are_chosen():
    scores, positions = torch.tensor([1.0, 2.0, 1.0, 1.0]), torch.tensor([7, 5, 3, 4])
    assert largest(scores, positions, 3).tolist() == [False, True, True, True]
    student, teacher, target = heads()
    same = [LinearOutput(x.hidden[:1].repeat(N, 1), x.weight, x.bias) for x in (student, teacher)]
    read = []
    later = DeferredOutput(same[1].vocab_size, lambda at: read.extend(at.tolist()) or same[1])
    fused_distillation_loss(same[0], later, target[:1].repeat(N), SETTINGS)
    assert read == [*range(K)]


def test_the_number_of_positions_is_rounded_up():
    counts = [Selection("random", share).count(n) for share, n in ((0.2, 1), (0.7, 10), (0.2, 11))]
    assert counts == [1, 7, 3] and Selection("random", 1e-3).count(0) == 0


@pytest.mark.parametrize("text", ["entropy:0.2", "random", "random:0", "random:1.1", "random:nan"])
def test_malformed_selections_name_what_is_known(text):
    with pytest.raises(ValueError, match="NAME one of student_entropy, .*, random, SHARE above 0"):
        parse_selection(text)
    assert parse_selection("random:1") == Selection("random", 1.0)
