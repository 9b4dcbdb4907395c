"""Divergences and ensembles in every criterion, against naive references."""

import copy

import pytest
import torch
from fairseq import tasks

import toy
from caching import build_cache, cached, run, sample_of
from cases import CASES
from lightpaff_fairseq.losses.divergences import DIVERGENCES
from setting import assert_same

BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


@pytest.fixture(scope="module")
def second_teachers(tmp_path_factory):
    """Another random teacher a case, of another size: (file, model)."""
    built = {}

    def get(setting):
        case = setting.case
        if case.name not in built:
            wider = [x for side in case.sides for x in (f"--{side}-embed-dim", 24)]
            argv = case.argv(setting.data, "--max-tokens", 500, teacher=True)
            cfg = toy.parse(*argv, *wider, "--seed", 11)
            torch.manual_seed(11)
            model = tasks.setup_task(cfg.task).build_model(cfg.model)
            folder = tmp_path_factory.mktemp(f"second_{case.name}")
            built[case.name] = toy.save_model(folder / "second.pt", cfg, model), model
        return built[case.name]

    return get


def naive(setting, teachers, sample, flags):
    """Loss and gradients of lambda 1 from float64 probabilities of the whole batch."""
    student = copy.deepcopy(setting.student).double()
    logits_s, target = setting.case.predict(student, sample)
    with torch.no_grad():
        probs = [
            setting.case.predict(copy.deepcopy(t).double().eval(), sample)[0].softmax(-1)
            for t in teachers
        ]
    t = (sum(probs) / len(probs)) ** (1 / flags["temperature"])
    t = t / t.sum(-1, keepdim=True)
    s = (logits_s / flags["temperature"]).softmax(-1)
    beta = flags.get("beta", 0.5)
    m = beta * t + (1 - beta) * s
    each = {
        "forward_kl": lambda: t * (t / s).log(),
        "reverse_kl": lambda: s * (s / t).log(),
        "jsd": lambda: beta * t * (t / m).log() + (1 - beta) * s * (s / m).log(),
        "tvd": lambda: (t - s).abs() / 2,
        "skew_kl": lambda: t * (t / (0.1 * t + 0.9 * s)).log(),
        "skew_reverse_kl": lambda: s * (s / (0.9 * t + 0.1 * s)).log(),
    }[flags["divergence"]]()
    real = setting.case.positions(target, setting.task.source_dictionary.pad())
    loss = each.sum(-1)[real].sum() * flags["temperature"] ** 2
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in student.named_parameters() if p.grad is not None}


@BY_NAME
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_divergences(settings, case, name, temperature):
    setting = settings(case)
    flags = {"temperature": temperature, "divergence": name} | (
        {"beta": 0.2} if name == "jsd" else {}
    )
    argv = [x for key, value in flags.items() for x in (f"--kd-{key}", value)]
    sample = toy.batch(setting.task, range(12))
    got = setting.run(setting.criterion("--kd-lambda", 1, "--kd-chunk-tokens", 7, *argv), sample)
    want = naive(setting, [setting.teacher], sample, flags)
    # sums of terms of both signs: the toy models differ by less than a thousandth of a nat
    assert got[0].item() == pytest.approx(want[0].item(), rel=1e-5, abs=1e-5)
    assert_same((want[0], got[1]), want, 1e-4)


@BY_NAME
def test_an_ensemble_teaches_the_mean_of_its_probabilities(settings, second_teachers, case):
    setting = settings(case)
    path, model = second_teachers(setting)
    criterion = setting.criterion(
        "--kd-lambda", 1, "--kd-teacher", f"{setting.path}:{path}", "--kd-temperature", 1.5
    )
    sample = toy.batch(setting.task, range(12))
    flags = {"temperature": 1.5, "divergence": "forward_kl"}
    want = naive(setting, [setting.teacher, model], sample, flags)
    got = setting.run(criterion, sample)
    assert got[0].item() == pytest.approx(want[0].item(), rel=1e-5, abs=1e-5)
    assert_same((want[0], got[1]), want, 1e-4)
    alone = naive(setting, [setting.teacher], sample, flags)
    assert abs(alone[0] - want[0]) > 1e-3 * want[0]


@BY_NAME
def test_a_cache_of_an_ensemble_is_the_ensemble(settings, second_teachers, case, tmp_path):
    setting = settings(case)
    path, _ = second_teachers(setting)
    both = f"{setting.path}:{path}"
    topk = () if case.name == "kd_lu" else ("--topk", len(setting.task.source_dictionary))
    assert build_cache(setting, tmp_path / "cache", *topk, "--path", both) == 0
    got = run(setting, cached(setting, tmp_path / "cache"))
    want = setting.run(setting.criterion("--kd-teacher", both), sample_of(setting, 1))
    assert_same(got, want, 1e-5)


def test_an_ensemble_of_one_teacher_twice_is_that_teacher(settings):
    case = next(c for c in CASES if c.name == "kd_ss")
    setting = settings(case)
    sample = toy.batch(setting.task, range(12))
    twice = setting.criterion("--kd-teacher", f"{setting.path}:{setting.path}")
    once = setting.run(setting.criterion(), sample)
    assert_same(setting.run(twice, sample), once, 1e-5)


def test_regressions_are_averaged_as_numbers(tmp_path):
    case = next(c for c in CASES if c.name == "kd_lu")
    data = case.data(tmp_path / "data")
    flags = ("--regression-target", "--num-classes", 1)
    teachers, paths = [], []
    for seed in (1, 2):
        cfg = toy.parse(*case.argv(data, *flags, "--max-tokens", 500, teacher=True))
        torch.manual_seed(seed)
        teachers.append(tasks.setup_task(cfg.task).build_model(cfg.model).eval())
        paths.append(str(toy.save_model(tmp_path / f"{seed}.pt", cfg, teachers[-1])))
    kd = ("--criterion", "kd_lu", "--kd-teacher", ":".join(paths), "--kd-lambda", 1)
    task, student, criterion = toy.build(*case.argv(data, *flags, *kd))
    sample = toy.batch(task, range(9))
    loss = criterion.train()(student.train(), sample)[0]
    values, *of_teachers = (case.predict(m, sample)[0] for m in (student, *teachers))
    want = (values - (of_teachers[0] + of_teachers[1]) / 2).square().sum()
    assert loss.item() == pytest.approx(want.item(), rel=1e-5)


@pytest.mark.parametrize(
    "flags,words",
    [
        (("--kd-beta", 1.5, "--kd-divergence", "jsd"), "--kd-beta 1.5: expected a number from 0"),
        (("--kd-beta", 0.1), "--kd-beta 0.1: has no effect without --kd-divergence jsd"),
        (
            ("--kd-output-weight", 0),
            "--kd-output-weight 0.0: has no effect without an intermediate loss",
        ),
        (("--kd-tail", "drop"), "--kd-tail drop: has no effect without --kd-cache"),
        (("--kd-cache", "there"), "--kd-cache there: --kd-teacher"),
    ],
    ids=str,
)
def test_flags_that_do_not_go_together(settings, flags, words):
    with pytest.raises(ValueError) as caught:
        settings(CASES[0]).criterion(*flags)
    assert words in str(caught.value)


def test_a_regression_has_no_divergence(settings):
    lu = next(c for c in CASES if c.name == "kd_lu")
    with pytest.raises(ValueError, match="--kd-divergence tvd: a regression has no probabilities"):
        settings(lu).criterion("--kd-divergence", "tvd", "--regression-target")


@pytest.mark.parametrize(
    "flags,words",
    [
        (("--kd-hidden-weight", 1), "matches the layers of one teacher, got 2"),
        (("--kd-temperature-schedule", "flsw"), "2 teachers have only the mean"),
    ],
    ids=str,
)
def test_what_an_ensemble_cannot_teach(settings, flags, words):
    setting = settings(CASES[0])
    with pytest.raises(ValueError) as caught:
        setting.criterion("--kd-teacher", f"{setting.path}:{setting.path}", *flags)
    assert words in str(caught.value)


def test_every_member_of_an_ensemble_is_checked(settings):
    setting = settings(CASES[0])
    sample = toy.batch(setting.task, range(4))
    for second, words in (("/no/such.pt", "--kd-teacher /no/such.pt: no such"), ("", "one colon")):
        criterion = setting.criterion("--kd-teacher", f"{setting.path}:{second}")
        with pytest.raises(ValueError, match=words):
            setting.run(criterion, sample)
