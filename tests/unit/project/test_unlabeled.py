"""lambda = 1: unlabeled text can be distilled, because labels have neither weight nor gradient."""

import pytest
import torch

from toy import batch, build, parse, save_model, write_labeled, write_parallel

BERT = ("--task", "sentence_prediction", "--num-classes", 3, "--criterion", "kd_lu", "--arch",
        "roberta_tiny", "--encoder-layers", 1, "--max-positions", 32)  # fmt: skip
MASS = ("--task", "translation", "-s", "sv", "-t", "en", "--criterion", "kd_ss", "--arch",
        "transformer_mass_tiny", "--label-smoothing", 0.1)  # fmt: skip


def make_student(kind, folder, kd_lambda):
    """(kind, model, criterion with another model as its teacher, a batch)."""
    write, flags = (write_labeled, BERT) if kind == "kd_lu" else (write_parallel, MASS)
    data = write(folder / "data")
    _, teacher, _ = build(data, *flags, "--seed", 5)
    path = save_model(folder / "teacher.pt", parse(data, *flags), teacher)
    task, model, criterion = build(data, *flags, "--kd-lambda", kd_lambda, "--kd-teacher", path)
    return kind, model.eval(), criterion.train(), batch(task, range(9))


@pytest.fixture(params=["kd_lu", "kd_ss"])
def student(request, tmp_path):
    return make_student(request.param, tmp_path, 1)


def loss_and_gradients(model, criterion, sample):
    model.zero_grad()
    loss, _, log = criterion(model, sample)
    loss.backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return loss.item(), grads, log


def other_labels(kind, sample):
    """Other classes, or other words where there were words: the prefixes stay as they are."""
    target = sample["target"]
    if kind == "kd_lu":
        return {**sample, "target": (target + 1) % 3}
    return {**sample, "target": torch.where(target > 3, 4 + (target - 3) % 20, target)}


@pytest.mark.slow
def test_labels_do_not_matter(student):
    kind, model, criterion, sample = student
    changed = other_labels(kind, sample)
    assert not changed["target"].equal(sample["target"])
    loss, gradients, log = loss_and_gradients(model, criterion, sample)
    other_loss, other_gradients, other_log = loss_and_gradients(model, criterion, changed)
    assert loss > 0 and any(g.abs().sum() > 0 for g in gradients.values())
    assert other_loss == pytest.approx(loss, rel=1e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(other_gradients[name], gradient)
    key = "nll_loss" if kind == "kd_ss" else "label_loss"
    assert float(other_log[key]) != float(log[key])  # still reported, of the labels given


@pytest.mark.slow
def test_prefixes_matter(tmp_path):
    """Why kd_ss needs a target that is worth reading: it decides where the models are compared."""
    _, model, criterion, sample = make_student("kd_ss", tmp_path, 1)
    loss, _, _ = loss_and_gradients(model, criterion, sample)
    tokens = sample["net_input"]["prev_output_tokens"]
    sample["net_input"]["prev_output_tokens"] = torch.where(tokens > 3, 4, tokens)
    assert loss_and_gradients(model, criterion, sample)[0] != pytest.approx(loss, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kd_lu", "kd_ss"])
def test_below_one_labels_matter(kind, tmp_path):
    _, model, criterion, sample = make_student(kind, tmp_path, 0.9)
    loss, _, _ = loss_and_gradients(model, criterion, sample)
    changed = loss_and_gradients(model, criterion, other_labels(kind, sample))[0]
    assert changed != pytest.approx(loss, rel=1e-5)
