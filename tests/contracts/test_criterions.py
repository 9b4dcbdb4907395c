"""What every distillation criterion promises, checked against naive references."""

import copy

import pytest
import torch
from fairseq.criterions import CRITERION_REGISTRY

import toy
from cases import CASES
from lightpaff_fairseq.criterions import distiller
from lightpaff_fairseq.criterions.distillation import DistillationMixin
from lightpaff_fairseq.models.int8_weights import int8_weights
from setting import assert_same, naive_loss, plain

BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def test_every_distillation_criterion_has_a_case():
    registered = {n for n, c in CRITERION_REGISTRY.items() if issubclass(c, DistillationMixin)}
    assert registered == {case.name for case in CASES}
    assert len(registered) == 6


@pytest.mark.parametrize("lam", [0.3, 1.0])
@pytest.mark.parametrize(
    "case,temperature,epsilon",
    [(case, t, 0.1 if case.has_smoothing else 0.0) for case in CASES for t in (1.0, 2.0)]
    + [(case, 1.0, 0.0) for case in CASES if case.has_smoothing],
    ids=str,
)
def test_loss_and_every_gradient_equal_a_naive_reference(settings, case, lam, temperature, epsilon):
    setting = settings(case)
    smoothing = ("--label-smoothing", epsilon) if case.has_smoothing else ()
    flags = ("--kd-lambda", lam, "--kd-temperature", temperature, "--kd-chunk-tokens", 7)
    criterion = setting.criterion(*flags, *smoothing)
    sample = toy.batch(setting.task, range(12))
    tokens = sample["net_input"]["src_tokens"]
    assert tokens.eq(setting.task.source_dictionary.pad()).any()  # padding is in play
    got = setting.run(criterion, sample)
    want = naive_loss(setting, sample, lam, temperature, epsilon)
    assert_same(got, want, 1e-5)
    assert got[2][case.nll].item() == pytest.approx(want[2], rel=1e-5)
    assert got[2]["kd_loss"].item() == pytest.approx(want[3], rel=1e-5)


@BY_NAME
def test_bfloat16_follows_float32(settings, case):
    setting = settings(case)
    sample = toy.batch(setting.task, range(12))
    full = setting.run(setting.criterion(), sample)
    half = setting.run(setting.criterion(), sample, copy.deepcopy(setting.student).bfloat16())
    assert half[0].item() == pytest.approx(full[0].item(), rel=0.02)
    for name, grad in full[1].items():
        if grad.norm() > 1e-3 * max(g.norm() for g in full[1].values()):
            cosine = torch.cosine_similarity(half[1][name].float().flatten(), grad.flatten(), 0)
            assert cosine > 0.97, name


@BY_NAME
def test_autocast_follows_float32(settings, case):
    """What --amp does, on the CPU: parameters stay float32, products are taken in half."""
    setting = settings(case)
    flags = ("--kd-hidden-weight", 1, "--kd-relation-weight", 1, "--kd-relation", "channel,value")
    sample = toy.batch(setting.task, range(12))
    torch.manual_seed(0)
    full = setting.run(setting.criterion(*flags), sample)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = setting.run(setting.criterion(*flags), sample)
    assert half[0].item() == pytest.approx(full[0].item(), rel=0.02)
    assert all(g.dtype == torch.float32 for g in half[1].values())
    for name, grad in full[1].items():
        if grad.norm() > 1e-2 * max(g.norm() for g in full[1].values()):
            cosine = torch.cosine_similarity(half[1][name].flatten(), grad.flatten(), 0)
            assert cosine > 0.95, name


@BY_NAME
def test_teacher_equal_to_student_leaves_the_stock_loss(settings, case, tmp_path):
    setting = settings(case)
    cfg = toy.parse(*case.argv(setting.data, "--max-tokens", 500))
    path = toy.save_model(tmp_path / "same.pt", cfg, setting.student)
    criterion = setting.criterion(*case.extra, "--kd-lambda", 0.4, "--kd-teacher", path)
    sample = toy.batch(setting.task, range(12))
    got, want = setting.run(criterion, sample), setting.run(setting.stock(*case.extra), sample)
    assert got[2]["kd_loss"].item() == pytest.approx(0, abs=1e-3)
    assert_same(got, (0.6 * want[0], {n: 0.6 * g for n, g in want[1].items()}), 1e-5)
    for key, value in want[2].items():
        if key != "loss":
            assert float(got[2][key]) == pytest.approx(float(value), rel=1e-5), key


@BY_NAME
def test_padding_and_batch_split_change_nothing(settings, case):
    setting = settings(case)
    criterion = setting.criterion()
    whole = setting.run(criterion, toy.batch(setting.task, range(12)))
    parts = [setting.run(criterion, toy.batch(setting.task, [i])) for i in range(12)]
    loss = torch.stack([p[0] for p in parts]).sum()
    grads = {n: sum(p[1][n] for p in parts) for n in whole[1]}
    assert_same((loss, grads), whole, 1e-5)


@BY_NAME
@pytest.mark.parametrize("mode", ["lambda 0", "validation"])
def test_lambda_zero_and_validation_are_the_stock_criterion_bit_for_bit(settings, case, mode):
    setting = settings(case)
    flags = case.extra
    off = ("--kd-lambda", 0, "--kd-teacher", "/no/such/teacher.pt") if mode == "lambda 0" else ()
    criterion, stock = setting.criterion(*flags, *off), setting.stock(*flags)
    sample = toy.batch(setting.task, range(12))
    if mode == "validation":
        criterion.eval(), stock.eval()
        assert criterion.distiller.teacher is None
    got, want = setting.run(criterion, sample), setting.run(stock, sample)
    assert torch.equal(got[0], want[0])
    assert all(torch.equal(got[1][n], g) for n, g in want[1].items())
    assert plain(got[2]) == plain(want[2])
    assert criterion.distiller.teacher is None


@BY_NAME
def test_divisor_prefix_and_accuracy_follow_the_stock_criterion(settings, case):
    setting = settings(case)
    sample = toy.batch(setting.task, range(12))
    got = plain(setting.run(setting.criterion(*case.extra), sample)[2])
    want = plain(setting.run(setting.stock(*case.extra), sample)[2])
    assert want.keys() <= got.keys()
    for key in want.keys() - {"loss", "nll_loss"}:
        assert got[key] == want[key], key
    label_loss = want["nll_loss"] if "nll_loss" in want else want["loss"]
    assert got[case.nll] == pytest.approx(label_loss, rel=1e-5)


@BY_NAME
def test_the_teacher_is_no_part_of_criterion_or_optimizer(settings, case):
    setting = settings(case)
    criterion = setting.criterion()
    setting.run(criterion, toy.batch(setting.task, range(4)))
    assert criterion.distiller.teacher is not None
    assert not list(criterion.parameters()) and not criterion.state_dict()
    teacher = criterion.distiller.teacher.model
    assert not teacher.training and all(p.grad is None for p in teacher.parameters())
    assert not any(p.requires_grad for p in teacher.parameters())


@BY_NAME
def test_quantized_weights_give_loss_and_gradient_of_the_rounded_student(settings, case):
    setting = settings(case)
    student, sample = setting.student, toy.batch(setting.task, range(12))
    rounded = copy.deepcopy(student)
    with int8_weights(student):
        rounded.load_state_dict(copy.deepcopy(student.state_dict()))

    def run(bits, model):
        torch.manual_seed(0)  # of the projection
        criterion = setting.criterion(quantize_weights=bits, kd_hidden_weight=1.0)
        return setting.run(criterion, sample, model)

    (loss, grads, _), (expected, expected_grads, _) = run(8, student), run(0, rounded)
    assert torch.equal(loss, expected) and not torch.equal(loss, run(0, student)[0])
    assert grads.keys() == expected_grads.keys()
    assert all(torch.equal(grad, expected_grads[name]) for name, grad in grads.items())


def test_quantized_weights_without_a_teacher_and_in_validation(settings):
    setting = settings(next(case for case in CASES if case.name == "kd_ss"))
    batch = setting.student.train(), toy.batch(setting.task, range(12))
    criterion, stock = setting.criterion(quantize_weights=8, kd_lambda=0.0), setting.stock()
    with int8_weights(setting.student):
        expected = stock(*batch)[0]
    assert torch.equal(criterion(*batch)[0], expected) and stock(*batch)[0] != expected
    criterion.eval()
    with criterion.served_weights(setting.student):  # `trainer_hooks` does this in validation
        assert torch.equal(criterion(*batch)[0], expected)
    assert torch.equal(criterion(*batch)[0], stock(*batch)[0])


@BY_NAME
def test_the_dense_path_gives_the_same_numbers(settings, case, monkeypatch):
    setting = settings(case)
    sample = toy.batch(setting.task, range(12))
    fused = setting.run(setting.criterion(*case.extra), sample)
    monkeypatch.setattr("lightpaff_fairseq.models.outputs._is_sharded", lambda model: True)
    monkeypatch.setattr(distiller, "fused_distillation_loss", None)  # must not be called
    dense = setting.run(setting.criterion(*case.extra), sample)
    assert_same(dense, fused, 1e-5)
    assert plain(dense[2]) == pytest.approx(plain(fused[2]), rel=1e-5)
