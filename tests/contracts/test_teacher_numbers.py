"""Teachers whose logits are NaN or infinite: every criterion, divergence and path of the loss."""

import copy
import math
from dataclasses import replace

import pytest
import torch

import toy
from caching import build_cache, cached, sample_of
from cases import CASES
from lightpaff_fairseq.losses import (
    DIVERGENCES,
    Divergence,
    LinearOutput,
    LogitsOutput,
    divergence_of_lprobs,
)
from lightpaff_fairseq.teachers.online import OnlineTeacher
from setting import assert_same

NAN, INF = math.nan, math.inf
pytestmark = pytest.mark.slow

BY_NAME = pytest.mark.parametrize("case", CASES, ids=str)
INVALID = {"NaN": NAN, "+inf": INF, "all -inf": -INF}
PATHS = {"fused": (), "dense": ("--kd-temperature-schedule", "cwsm")}
MESSAGE = "expected logits that are numbers or -inf, got NaN or infinity at"


def plus(output, addend):
    """A teacher's output with `(V,)` or a number added to its logits."""
    if isinstance(output, LinearOutput):
        bias = torch.zeros(output.vocab_size) if output.bias is None else output.bias
        return replace(output, bias=bias + addend)
    return LogitsOutput(output.values + addend)


def loss_of(setting, criterion, addend):
    """One training step with a teacher of other logits."""
    criterion.before_training(setting.student, lambda: 0)
    teacher = criterion.distiller.teacher
    soft_targets = type(teacher).soft_targets
    teacher.soft_targets = lambda *args: plus(soft_targets(teacher, *args), addend)
    return setting.run(criterion, sample_of(setting, 1))


def in_float64(step):
    return step[0], {name: gradient.double() for name, gradient in step[1].items()}


def excluded(case):
    """-inf for two tokens (one class)."""
    size = 3 if case.name == "kd_lu" else toy.WORDS + 5
    addend = torch.zeros(size)
    addend[[1]] = -INF
    addend[size - 1 if size > 3 else 1] = -INF
    return addend


@BY_NAME
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_teacher_without_numbers_is_named(case, divergence, settings):
    setting, tried = settings(case), 0
    for flags in PATHS.values():
        criterion = setting.criterion(*flags, kd_divergence=divergence)
        for value in INVALID.values():
            with pytest.raises(ValueError) as caught:
                loss_of(setting, criterion, value)
            assert str(caught.value).startswith(f"--kd-teacher {setting.path}: {MESSAGE}")
            tried += 1
    assert tried == 6


@BY_NAME
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_an_excluded_token_is_the_limit_of_an_unlikely_one(case, divergence, settings):
    setting, addend = settings(case), excluded(case)
    for flags in PATHS.values():
        criterion = setting.criterion(
            *flags, kd_divergence=divergence, kd_lambda=1.0, kd_temperature=2.0
        )
        if divergence == "reverse_kl":
            with pytest.raises(ValueError, match="probability 0 .* where reverse KL is infinite"):
                loss_of(setting, criterion, addend)
            continue
        unlikely = addend.clamp_min(-500.0)
        loss, grads, log = loss_of(setting, criterion, addend)
        expected = loss_of(setting, criterion, unlikely)
        assert 0 < loss.item() < INF and log["kd_loss"].isfinite()
        assert_same((loss, grads), in_float64(expected), 1e-5)


def test_reverse_kl_is_finite_where_the_student_excludes_the_token_too(settings):
    lprobs_t = torch.tensor([[0.3, 0.7, 0.0]]).log()
    lprobs_s = torch.tensor([[0.5, 0.5, 0.0]]).log()
    value = divergence_of_lprobs(lprobs_s, lprobs_t, Divergence("reverse_kl"))
    assert value.item() == pytest.approx(0.5 * math.log(0.5 / 0.3) + 0.5 * math.log(0.5 / 0.7))


def test_flsw_needs_finite_logits(settings):
    setting = settings(CASES[-1])
    criterion = setting.criterion("--kd-temperature-schedule", "flsw")
    with pytest.raises(ValueError, match="flsw has no angle between logits: use cwsm or constant"):
        loss_of(setting, criterion, excluded(CASES[-1]))


def test_the_teacher_of_an_ensemble_is_named(settings, monkeypatch, tmp_path):
    setting = settings(CASES[-1])
    state = toy.checkpoint(setting.path)
    state["model"]["decoder.layers.1.fc2.bias"][0] = NAN
    torch.save(state, tmp_path / "bad.pt")
    both = f"{setting.path}:{tmp_path / 'bad.pt'}"
    criterion = setting.criterion("--kd-teacher", both)
    criterion.before_training(setting.student, lambda: 0)
    with pytest.raises(ValueError) as caught:
        setting.run(criterion, sample_of(setting, 1))
    assert str(caught.value).startswith(f"--kd-teacher {tmp_path / 'bad.pt'}: {MESSAGE}")


@BY_NAME
def test_a_student_without_numbers_is_not_the_teachers_fault(case, settings):
    setting, tried = settings(case), 0
    for divergence in DIVERGENCES:
        for flags in PATHS.values():
            criterion = setting.criterion(*flags, kd_divergence=divergence)
            name, weight = list(setting.student.named_parameters())[-1]
            kept = weight.detach().clone()
            for value in (NAN, INF):
                with torch.no_grad():
                    weight.fill_(value)
                criterion.before_training(setting.student, lambda: 0)
                loss, _, log = setting.run(criterion, sample_of(setting, 1))
                assert not loss.isfinite() and not log["kd_loss"].isfinite(), name
                tried += 1
            with torch.no_grad():
                weight.copy_(kept)
    assert tried == 4 * len(DIVERGENCES)


def half(setting, criterion, overflows):
    """The soft loss of float16 models, as with --fp16."""
    student = copy.deepcopy(setting.student).train().half()
    if overflows:
        with torch.no_grad():
            list(student.parameters())[-1].fill_(INF)
    criterion.before_training(student, lambda: 0)
    return criterion(student, sample_of(setting, 1))


@pytest.mark.parametrize("name", ["kd_ss", "kd_lu"])
def test_float16_students_may_overflow_and_teachers_may_not(name, settings):
    setting = settings(next(case for case in CASES if case.name == name))
    _, _, log = half(setting, setting.criterion(), overflows=True)
    assert not log["kd_loss"].isfinite()
    criterion = setting.criterion()
    criterion.before_training(setting.student, lambda: 0)
    with torch.no_grad():
        teacher = criterion.distiller.teacher.model
        list(teacher.parameters())[-1].fill_(1e7)  # a number in float32, +inf in float16
    setting.run(criterion, sample_of(setting, 1))
    with pytest.raises(ValueError, match="--fp16 or --amp where it overflows"):
        half(setting, criterion, overflows=False)


@BY_NAME
def test_caches_keep_excluded_tokens(case, settings, tmp_path, monkeypatch):
    """A complete cache trains as its teacher does, one of k tokens nearly so."""
    setting, addend = settings(case), excluded(case)
    soft_targets = OnlineTeacher.soft_targets
    values = {"kd_divergence": "jsd", "kd_lambda": 1.0}
    expected = loss_of(setting, setting.criterion(**values), addend)
    monkeypatch.setattr(
        OnlineTeacher, "soft_targets", lambda *args: plus(soft_targets(*args), addend)
    )
    complete = () if case.name == "kd_lu" else ("--topk", len(addend))
    assert build_cache(setting, tmp_path / "complete", *complete) == 0
    criterion = cached(setting, tmp_path / "complete", **values)
    criterion.before_training(setting.student, lambda: 0)
    criterion.begin_epoch(1, "train")
    observed = setting.run(criterion, sample_of(setting, 1))
    assert_same(observed, in_float64(expected), 1e-4)
    with pytest.raises(ValueError) as caught:
        criterion = cached(setting, tmp_path / "complete", kd_divergence="reverse_kl")
        criterion.before_training(setting.student, lambda: 0)
        setting.run(criterion, sample_of(setting, 1))
    assert str(caught.value).startswith(f"--kd-cache {tmp_path / 'complete'}: some tokens have")


@BY_NAME
def test_a_cache_without_numbers_is_named(case, settings, tmp_path):
    """As one of version 0.1 of another teacher may be."""
    setting, tried = settings(case), 0
    complete = () if case.name == "kd_lu" else ("--topk", toy.WORDS + 5)
    assert build_cache(setting, tmp_path / "cache", *complete) == 0
    for divergence in DIVERGENCES:
        criterion = cached(setting, tmp_path / "cache", kd_divergence=divergence)
        for value in INVALID.values():
            with pytest.raises(ValueError) as caught:
                loss_of(setting, criterion, value)
            assert str(caught.value).startswith(f"--kd-cache {tmp_path / 'cache'}: {MESSAGE}")
            tried += 1
    assert tried == 3 * len(DIVERGENCES)
