"""A task, a teacher and a student of a case, and the naive reference they are compared with."""

import copy
from functools import cache

import pytest
import torch
from fairseq import tasks

import toy
from cases import Case


@cache
def parse_once(*argv):
    """fairseq's configuration of a command line; most of a small test's time goes into parsing."""
    return toy.parse(*argv)


class Setting:
    """Task, teacher and student of a case, built once; the criterion for any flags."""

    def __init__(self, case: Case, folder):
        self.case = case
        self.data = case.data(folder / "data")
        cfg = toy.parse(*case.argv(self.data, "--max-tokens", 500, "--seed", 7, teacher=True))
        teacher = tasks.setup_task(cfg.task)
        torch.manual_seed(7)
        self.teacher = teacher.build_model(cfg.model)
        self.path = toy.save_model(folder / "teacher.pt", cfg, self.teacher)
        self.task, self.student, _ = toy.build(*case.argv(self.data))

    def criterion(self, *flags, **values):
        """The criterion of flags; `values` of its configuration need no parsing of their own."""
        argv = self.case.argv(self.data, "--criterion", self.case.name, "--kd-teacher", self.path)
        return self.build(*argv, *flags, **values)

    def build(self, *argv, **values):
        """The criterion of a command line."""
        cfg = copy.deepcopy(parse_once(*argv, "--max-tokens", 500).criterion)
        for name, value in values.items():
            cfg[name] = value
        return self.task.build_criterion(cfg).train()

    def stock(self, *flags):
        argv = self.case.argv(self.data, "--criterion", self.case.stock)
        cfg = toy.parse(*argv, *flags, "--max-tokens", 500)
        return self.task.build_criterion(cfg.criterion).train()

    def run(self, criterion, sample, model=None):
        """(loss, {parameter: gradient}, logging output) of one training step."""
        model = model or self.student
        model.train().zero_grad()
        loss, _, log = criterion(model, sample)
        loss.backward()
        grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        return loss.detach(), grads, log


def naive_loss(setting: Setting, sample, lam, temperature, epsilon):
    """The loss from complete float64 logits, with nothing fused, chunked or selected early."""
    student, teacher = (copy.deepcopy(m).double() for m in (setting.student, setting.teacher))
    logits_s, target = setting.case.predict(student, sample)
    with torch.no_grad():
        logits_t = setting.case.predict(teacher.eval(), sample)[0]
    q = (logits_t / temperature).softmax(-1)
    kl = (q * (q.log() - (logits_s / temperature).log_softmax(-1))).sum(-1) * temperature**2
    lprobs = logits_s.log_softmax(-1)
    nll = -lprobs.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    eps_i = epsilon / (lprobs.size(-1) - 1)
    label = (1 - epsilon - eps_i) * nll - eps_i * lprobs.sum(-1)
    real = setting.case.positions(target, setting.task.source_dictionary.pad())
    loss = ((1 - lam) * label + lam * kl)[real].sum()
    loss.backward()
    grads = {n: p.grad for n, p in student.named_parameters() if p.grad is not None}
    return loss.detach(), grads, nll[real].sum().item(), kl[real].sum().item()


def plain(log):
    return {k: v.item() if isinstance(v, torch.Tensor) else v for k, v in log.items()}


def assert_same(got, want, tolerance):
    assert got[0].item() == pytest.approx(want[0].item(), rel=tolerance)
    assert got[1].keys() == want[1].keys()
    largest = max(g.abs().max().item() for g in want[1].values())
    for name, grad in want[1].items():
        assert (got[1][name].double() - grad).abs().max() <= tolerance * largest, name
