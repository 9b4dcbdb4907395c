"""What is particular to a family: masked positions, adaptive softmax, regression, labels."""

import copy

import pytest
import torch
from fairseq import tasks

import toy
from cases import CASES
from lightpaff_fairseq.losses.label_positions import LabelPositions
from lightpaff_fairseq.losses.model_output import LinearOutput, LogitsOutput
from lightpaff_fairseq.models.outputs import decoder_output
from setting import Setting, assert_same, naive_loss

MLM, LM, LU = (next(c for c in CASES if c.name == n) for n in ("kd_mlm", "kd_lm", "kd_lu"))


def masked(sample, which, pad):
    """The same batch with all, or none, of its ordinary tokens selected."""
    sample = copy.deepcopy(sample)
    tokens = sample["net_input"]["src_tokens"]
    every = torch.where(tokens.eq(pad), pad, tokens)
    sample["target"] = every if which == "all" else torch.full_like(tokens, pad)
    return sample


@pytest.mark.parametrize("which", ["all", "none"])
def test_mlm_with_every_or_no_token_masked(settings, which):
    setting = settings(MLM)
    sample = masked(toy.batch(setting.task, range(6)), which, setting.task.source_dictionary.pad())
    loss, grads, log = setting.run(setting.criterion("--kd-lambda", 0.3), sample)
    if which == "all":
        assert_same((loss, grads), naive_loss(setting, sample, 0.3, 1.0, 0.0), 1e-5)
    else:
        assert loss.item() == 0 and log["sample_size"] == 0 and log["kd_positions"] == 0
        assert all(g.abs().max() == 0 for g in grads.values())


def test_mlm_projects_masked_positions_only(settings):
    setting = settings(MLM)
    sample = toy.batch(setting.task, range(12))
    expected = sample["target"].ne(setting.task.source_dictionary.pad()).sum().item()
    criterion = setting.criterion()
    setting.run(criterion, sample)
    rows = []
    for model in (setting.student, criterion.distiller.teacher.model):
        model.encoder.lm_head.dense.register_forward_hook(
            lambda _m, args, _o: rows.append(args[0].numel() // args[0].size(-1))
        )
    setting.run(criterion, sample)
    assert rows == [expected, expected] and expected < sample["target"].numel()


@pytest.mark.parametrize("who", ["teacher", "student", "both"])
def test_adaptive_softmax_takes_the_dense_path_with_the_right_loss(who, tmp_path):
    adaptive = ("--adaptive-softmax-cutoff", "10,20")
    flags = {True: adaptive, False: ()}
    data = LM.data(tmp_path / "data")
    cfg = toy.parse(*LM.argv(data, "--max-tokens", 99, *flags[who != "student"], teacher=True))
    teacher = tasks.setup_task(cfg.task).build_model(cfg.model).eval()
    path = toy.save_model(tmp_path / "t.pt", cfg, teacher)
    kd = ("--criterion", "kd_lm", "--kd-teacher", path, "--kd-lambda", 0.5)
    task, model, criterion = toy.build(*LM.argv(data, *flags[who != "teacher"], *kd))
    sample = toy.batch(task, range(8))
    loss, _, log = criterion.train()(model.train(), sample)

    real = sample["target"].ne(task.source_dictionary.pad())
    lprobs_s, lprobs_t = (
        m.get_normalized_probs(m(**sample["net_input"]), log_probs=True) for m in (model, teacher)
    )
    nll = -lprobs_s.gather(-1, sample["target"].unsqueeze(-1)).squeeze(-1)[real].sum()
    kl = (lprobs_t.exp() * (lprobs_t - lprobs_s)).sum(-1)[real].sum()
    assert loss.item() == pytest.approx((0.5 * nll + 0.5 * kl).item(), rel=1e-5)
    read = decoder_output(model, sample["net_input"], LabelPositions.of(real))
    assert isinstance(read, LinearOutput if who == "teacher" else LogitsOutput)


def test_regression_distills_the_prediction(tmp_path):
    data = LU.data(tmp_path / "data")
    flags = ("--regression-target", "--num-classes", 1, "--report-pearson-and-spearman")
    setting = Setting.__new__(Setting)
    setting.case, setting.data = LU, data
    cfg = toy.parse(*LU.argv(data, *flags, "--max-tokens", 500, teacher=True))
    setting.teacher = tasks.setup_task(cfg.task).build_model(cfg.model).eval()
    setting.path = toy.save_model(tmp_path / "t.pt", cfg, setting.teacher)
    setting.task, setting.student, _ = toy.build(*LU.argv(data, *flags))
    criterion = setting.criterion(*flags, "--kd-lambda", 0.25)
    sample = toy.batch(setting.task, range(9))
    loss, _, log = setting.run(criterion, sample)
    (values_s, labels), (values_t, _) = (
        LU.predict(m, sample) for m in (setting.student, setting.teacher)
    )
    label_loss = (values_s.view(-1) - labels).square().sum()
    kd_loss = (values_s - values_t).square().sum()
    assert loss.item() == pytest.approx((0.75 * label_loss + 0.25 * kd_loss).item(), rel=1e-5)
    assert log["kd_loss"].item() == pytest.approx(kd_loss.item(), rel=1e-5)


def test_labels_do_not_matter_when_lambda_is_one(settings):
    setting = settings(LU)
    criterion = setting.criterion("--kd-lambda", 1)
    sample = toy.batch(setting.task, range(9))
    other = copy.deepcopy(sample)
    other["target"] = torch.zeros_like(other["target"])
    assert not torch.equal(sample["target"], other["target"])
    first, second = setting.run(criterion, sample), setting.run(criterion, other)
    assert_same(first, second, 1e-7)
    assert first[2]["label_loss"] != second[2]["label_loss"]
