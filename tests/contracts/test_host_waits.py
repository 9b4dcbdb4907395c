"""A step does not wait for a GPU: on the CPU by its operations, on a GPU as PyTorch says."""

import warnings
from dataclasses import replace

import pytest
import torch
from fairseq import utils

import toy
from caching import build_cache, cached, sample_of
from cases import CASES
from host_waits import host_waits
from lightpaff_fairseq.criterions import loss_watch
from lightpaff_fairseq.losses.label_positions import LabelPositions
from lightpaff_fairseq.protocols import PREPARED
from lightpaff_fairseq.teachers.aligned_batch import BatchAligner
from lightpaff_fairseq.teachers.cached import CachedTeacher
from other_vocabulary import World

ONLINE = ("--kd-lambda", 0.7, "--kd-temperature", 2)
LAYERS = ("--kd-hidden-weight", 1, "--kd-attention-weight", 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


def ready(setting, criterion, epoch=1):
    """A criterion after `before_training`, and a batch as the loader and the trainer make it."""
    criterion.before_training(setting.student, lambda: 0)
    criterion.begin_epoch(epoch, "train")
    dataset = setting.task.dataset("train")
    sample_of(setting, epoch)
    collate = criterion.prepare_batches(dataset.collater)
    collate.begin_epoch(epoch)
    sample = collate([dataset[i] for i in range(12)])
    return criterion, {**sample, PREPARED: sample[PREPARED].moved(sample["target"])}


def step(setting, criterion, sample):
    setting.student.train().zero_grad()
    criterion(setting.student, sample)[0].backward()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_step_asks_for_no_value(settings, case, monkeypatch):
    setting = settings(case)
    flags = LAYERS if case.name == "kd_ss" else ()
    criterion, sample = ready(setting, setting.criterion(*ONLINE, *flags))
    step(setting, criterion, sample)  # what is computed once
    # on the CPU a loss is looked at at once; on a GPU when it has arrived
    monkeypatch.setattr(loss_watch, "_to_host", lambda flag: (flag, lambda: False))
    with host_waits() as waits:
        step(setting, criterion, sample)
    assert not waits
    if case.name != "kd_lu":  # the prepared positions are what makes the difference
        with host_waits() as waits:
            step(setting, criterion, {k: v for k, v in sample.items() if k != PREPARED})
        assert waits and all("label_positions.py" in wait[1] for wait in waits)


def test_a_step_with_a_cache_asks_for_no_value_and_reads_nothing(settings, tmp_path, monkeypatch):
    setting = settings(next(c for c in CASES if c.name == "kd_ss"))
    assert build_cache(setting, tmp_path / "cache", "--topk", 5) == 0
    criterion, sample = ready(setting, cached(setting, tmp_path / "cache"))
    step(setting, criterion, sample)
    expected = [p.grad.clone() for p in setting.student.parameters()]
    monkeypatch.setattr(loss_watch, "_to_host", lambda flag: (flag, lambda: False))
    with host_waits() as waits, monkeypatch.context() as without:
        without.setattr(criterion.distiller.teacher, "look_up", None)
        step(setting, criterion, sample)
    assert not waits
    for p, grad in zip(setting.student.parameters(), expected, strict=True):
        assert torch.equal(p.grad, grad)
    # errors of a worker are raised by the training
    prepared = sample[PREPARED]
    broken = replace(prepared.lookup, tensors=None, problem="--kd-cache: corrupt")
    with pytest.raises(ValueError, match="--kd-cache: corrupt"):
        step(setting, criterion, {**sample, PREPARED: replace(prepared, lookup=broken)})
    # a batch that a task has changed is looked up again
    other = {**sample, "target": sample["target"].flip(0)}
    with pytest.raises(ValueError, match="has changed since"):
        step(setting, criterion, other)


def test_a_step_with_another_vocabulary_asks_for_no_value(world, tmp_path, monkeypatch):
    """Neither online nor with a cache; the text is read where the batch is made."""
    setting, (code, path) = world.setting("student", "kd_ss"), world.map("kd_ss")
    assert code == 0
    cache = world.cache(tmp_path / "cache", "kd_ss", path, "--topk", 5)
    flags = {"kd_lambda": 0.7, "kd_vocabulary_map": str(path)}
    teacher = {"kd_teacher": str(world.setting("teacher", "kd_ss").path)}
    for criterion in (setting.criterion(**flags, **teacher), cached(setting, cache, **flags)):
        criterion, sample = ready(setting, criterion)
        step(setting, criterion, sample)
        expected = [p.grad.clone() for p in setting.student.parameters()]
        with monkeypatch.context() as patched, host_waits() as waits:
            patched.setattr(loss_watch, "_to_host", lambda flag: (flag, lambda: False))
            patched.setattr(BatchAligner, "align", None)
            step(setting, criterion, sample)
        assert not waits
        unprepared = {key: value for key, value in sample.items() if key != PREPARED}
        step(setting, criterion, unprepared)
        for p, grad in zip(setting.student.parameters(), expected, strict=True):
            assert torch.equal(p.grad, grad)


def test_a_bad_teacher_is_named_when_its_loss_arrives(settings, monkeypatch):
    setting = settings(next(c for c in CASES if c.name == "kd_ss"))
    criterion, sample = ready(setting, setting.criterion(*ONLINE))
    arrived = []
    monkeypatch.setattr(loss_watch, "_to_host", lambda flag: (flag, lambda: bool(arrived)))
    weight = criterion.distiller.teacher.model.decoder.layers[0].fc1.bias
    weight.data[0] = torch.nan
    step(setting, criterion, sample)
    step(setting, criterion, sample)
    arrived.append(True)
    with pytest.raises(ValueError, match=f"--kd-teacher {setting.path}.*NaN"):
        step(setting, criterion, sample)


def test_a_teacher_of_another_precision(settings):
    """bfloat16 keeps 8 bits; the student's own precision is not touched."""
    setting = settings(next(c for c in CASES if c.name == "kd_ss"))
    grads = []
    for dtype in ("auto", "float32", "bfloat16"):
        criterion, sample = ready(setting, setting.criterion(*ONLINE, kd_teacher_dtype=dtype))
        step(setting, criterion, sample)
        grads.append(torch.cat([p.grad.flatten() for p in setting.student.parameters()]))
        assert next(criterion.distiller.teacher.model.parameters()).dtype == (
            torch.bfloat16 if dtype == "bfloat16" else torch.float32
        )
    assert torch.equal(grads[0], grads[1])
    assert 0 < (grads[2] - grads[0]).norm() < 0.02 * grads[0].norm()


def test_positions_are_taken_from_both_orders():
    values, mask = torch.randn(3, 5, 4), torch.rand(3, 5) < 0.5
    positions = LabelPositions.of(mask)
    assert torch.equal(positions.take(values), values[mask])
    swapped = values.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(positions.take(swapped), values[mask])
    assert torch.equal(positions.take(mask), mask[mask]) and len(positions) == mask.sum()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_step_on_a_gpu_waits_only_in_fairseq(settings):
    """fairseq's encoder and decoder ask whether a batch has padding."""
    setting = settings(next(c for c in CASES if c.name == "kd_ss"))
    setting.student.cuda()
    try:
        criterion, sample = ready(setting, setting.criterion(*ONLINE))
        prepared = sample.pop(PREPARED).pin_memory()
        sample = utils.move_to_cuda(sample)
        sample[PREPARED] = prepared.moved(sample["target"])
        step(setting, criterion.cuda(), sample)
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step(setting, criterion, sample)
        torch.cuda.set_sync_debug_mode("default")
        files = {w.filename for w in caught if "synchroniz" in str(w.message)}
        assert all(x.endswith(("transformer_encoder.py", "transformer_decoder.py")) for x in files)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        setting.student.cpu()


def test_a_training_prepares_its_batches_in_workers(settings, tmp_path, monkeypatch):
    """Two epochs, two workers that outlive them: the steps of a training without workers."""
    setting = settings(next(c for c in CASES if c.name == "kd_ss"))
    assert build_cache(setting, tmp_path / "cache", "--sample", 9, "--epochs", 2) == 0
    flags = (
        "--criterion",
        "kd_ss",
        "--kd-cache",
        tmp_path / "cache",
        "--max-epoch",
        2,
        "--lr",
        0.1,
    )
    flags += ("--batch-size", 12, "--disable-validation", "--optimizer", "sgd")
    models, calls, counts, look_up = [], [], [], CachedTeacher.look_up
    monkeypatch.setattr(CachedTeacher, "look_up", lambda *x: calls.append(1) or look_up(*x))
    for workers in (0, 2):
        calls.clear()  # in this process, where fairseq makes a dummy batch of an epoch in any case
        argv = setting.case.argv(setting.data, *flags, "--save-dir", tmp_path / str(workers))
        toy.train(*argv, workers=workers)
        counts.append(len(calls))
        models.append(toy.checkpoint(tmp_path / str(workers) / "checkpoint_last.pt"))
    assert counts[0] - counts[1] == models[0]["optimizer_history"][-1]["num_updates"] > 7
    for name, value in models[0]["model"].items():
        assert torch.equal(models[1]["model"][name], value), name
