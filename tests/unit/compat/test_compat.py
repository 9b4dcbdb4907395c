"""Each repair does its job, is idempotent, and leaves a healthy fairseq alone."""

import argparse
import types
import warnings

import fairseq.utils
import fairseq_cli.train
import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils, tasks
from fairseq.data import LRUCacheDataset, data_utils
from fairseq.dataclass.configs import FairseqConfig
from fairseq.distributed import utils as distributed_utils
from fairseq.tasks.translation_from_pretrained_bart import TranslationFromPretrainedBARTTask
from fairseq.trainer import Trainer
from omegaconf import OmegaConf

import toy
from lightpaff_fairseq import compat
from lightpaff_fairseq import trainer_hooks as before_training
from lightpaff_fairseq.compat import batches


def test_applying_twice_changes_nothing():
    def state():
        patched = data_utils.batch_by_size, distributed_utils.call_main, Trainer.load_checkpoint
        patched += (checkpoint_utils._upgrade_state_dict,)
        patched += Trainer.begin_epoch, Trainer._prepare_sample, LRUCacheDataset.set_epoch
        patched += (TranslationFromPretrainedBARTTask.__init__,)
        return patched, len(warnings.filters)  # pytest resets the filters before every test

    compat.apply()
    before = state()
    compat.apply()
    assert state() == before


@pytest.mark.parametrize(
    "value",
    [
        argparse.Namespace(arch="transformer", layers=2),
        np.array([1, 2, 3]),
        np.array([0.5], dtype=np.float32),
        np.float64(3.0),
        np.int64(3),
        OmegaConf.create({"a": [1, {"b": "x"}], "c": None, "d": 0.5}),
    ],
    ids=lambda v: type(v).__name__,
)
def test_checkpoints_of_fairseqs_own_classes_load_safely(value, tmp_path):
    torch.save({"x": value}, tmp_path / "x.pt")
    found = torch.load(tmp_path / "x.pt", weights_only=True)["x"]
    assert np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value


def test_other_classes_stay_refused(tmp_path):
    torch.save({"x": before_training.logger}, tmp_path / "x.pt")
    with pytest.raises(Exception, match="logging"):
        torch.load(tmp_path / "x.pt", weights_only=True)


@pytest.mark.parametrize("count", [1, 7, 8, 30, 37])
@pytest.mark.parametrize("multiple", [1, 8])
def test_every_sentence_is_in_exactly_one_batch(count, multiple):
    sizes = np.random.default_rng(count).integers(1, 20, count)
    order = np.argsort(sizes, kind="stable")
    limits = {"max_tokens": 100, "max_sentences": 16, "required_batch_size_multiple": multiple}
    vector = data_utils.batch_by_size(order, lambda i: sizes[i], sizes[order], **limits)
    function = data_utils.batch_by_size(order.tolist(), lambda i: sizes[i], **limits)
    for made in (vector, function):
        assert np.concatenate([*made]).tolist() == order.tolist()
        assert all(len(b) * sizes[b].max() <= 100 and len(b) <= 16 for b in made)


def test_batches_are_untouched_where_nothing_is_dropped():
    order, sizes = np.arange(16), np.full(16, 5)
    original = data_utils.batch_by_size.__wrapped__
    args = (order, lambda i: 5, sizes, 1000, 8, 8)
    ours, theirs = data_utils.batch_by_size(*args), original(*args)
    assert [b.tolist() for b in ours] == [b.tolist() for b in theirs]


def launch(world=1, bf16=False):
    cfg = OmegaConf.structured(FairseqConfig)
    cfg.distributed_training.distributed_world_size = world
    cfg.common.cpu, cfg.common.bf16, cfg.common.tpu = True, bf16, bf16
    return cfg


def test_launches_that_would_train_nothing_are_refused(monkeypatch):
    def refused(cfg, words):
        with pytest.raises(ValueError, match=words):
            distributed_utils.call_main(cfg, fairseq_cli.train.main)

    refused(launch(world=2), "--distributed-world-size 2 without a GPU")
    refused(launch(bf16=True), "--bf16")
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(launch(), "WORLD_SIZE=2")


def test_commands_that_do_not_train_run_in_any_environment(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr(distributed_utils, "infer_init_method", lambda cfg: None)
    calls = []
    distributed_utils.call_main(launch(), calls.append)
    assert len(calls) == 1


def test_no_sentence_at_all_makes_no_batch():
    empty = np.array([], dtype=np.int64)
    assert data_utils.batch_by_size(empty, lambda i: 1, max_tokens=9, max_sentences=8) == []


@pytest.mark.parametrize(
    "restore,once,found",
    [
        ("/elsewhere/checkpoint_last.pt", None, "--restore-file /elsewhere/checkpoint_last.pt"),
        ("checkpoint_last.pt", "/elsewhere/x.pt", "--continue-once /elsewhere/x.pt"),
    ],
)
def test_files_that_do_not_exist(restore, once, found):
    cfg = OmegaConf.create({"restore_file": restore, "continue_once": once})
    with pytest.raises(ValueError, match=found):
        before_training._check_restore_file(cfg, once or restore)
    fresh = OmegaConf.create({"restore_file": "checkpoint_last.pt"})
    before_training._check_restore_file(fresh, "save/checkpoint_last.pt")  # nothing to resume yet


def test_an_ordinary_launch_runs_main(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    calls = []
    distributed_utils.call_main(launch(), calls.append)
    assert len(calls) == 1


def test_buckets_equal_fairseqs_on_this_numpy():
    sizes = np.random.default_rng(0).integers(1, 100, 500)
    assert np.array_equal(batches._get_buckets(sizes, 8), data_utils.get_buckets(sizes, 8))


def test_resuming_with_other_batches_is_said(caplog):
    cfg = OmegaConf.create({"dataset": {"update_epoch_batch_itr": False}})
    before_training._warn_of_other_batches(cfg, {"train_iterator": {"epoch": 2}})
    assert "--update-epoch-batch-itr True" in caplog.text
    caplog.clear()
    before_training._warn_of_other_batches(cfg, {"train_iterator": {"epoch": 1}})
    cfg.dataset.update_epoch_batch_itr = True
    before_training._warn_of_other_batches(cfg, {"train_iterator": {"epoch": 2}})
    assert not caplog.text


def test_checkpoints_without_a_criterion_can_be_fine_tuned_from(tmp_path):
    """As released models are: fairseq wants the entry where the criterion has parameters."""
    history = [{"num_updates": 0, "optimizer_name": "x", "lr_scheduler_state": {}}]
    old = {"args": None, "cfg": {"model": {}}, "model": {}, "optimizer_history": history}
    old |= {"extra_state": {"train_iterator": {"epoch": 1}}, "last_optimizer_state": None}
    torch.save(old, tmp_path / "old.pt")
    torch.save(old | {"criterion": {"w": torch.ones(1)}}, tmp_path / "new.pt")
    load = checkpoint_utils.load_checkpoint_to_cpu
    assert load(str(tmp_path / "old.pt"))["criterion"] is None
    assert load(str(tmp_path / "new.pt"))["criterion"] == {"w": torch.ones(1)}


def test_masks_follow_the_epoch_even_of_items_just_read(tmp_path):
    data = toy.write_monolingual(tmp_path)
    flags = ("--task", "masked_lm", "--sample-break-mode", "eos", "--tokens-per-sample", 32)
    task = toy.build(data, *flags, "--mask-prob", 0.5, "--arch", "roberta_tiny")[0]
    dataset = task.dataset("train")

    def masks(epoch, clear):
        if clear:
            LRUCacheDataset.__getitem__.cache_clear()
        dataset.set_epoch(epoch)
        return [dataset[i]["target"].tolist() for i in (0, 1)]

    fresh = [masks(epoch, clear=True) for epoch in (1, 2, 1)]
    assert fresh[0] == fresh[2] != fresh[1]
    assert [masks(epoch, clear=False) for epoch in (1, 2, 1)] == fresh


def test_a_criterion_is_told_which_epoch_begins(monkeypatch):
    told = []
    criterion = types.SimpleNamespace(begin_epoch=lambda *args: told.append(args))
    trainer = Trainer.__new__(Trainer)
    trainer.cfg = OmegaConf.create({"dataset": {"train_subset": "some"}})
    monkeypatch.setattr(Trainer, "get_criterion", lambda self: criterion)
    with pytest.raises(AttributeError):  # fairseq's own part needs a whole trainer
        trainer.begin_epoch(4)
    assert told == [(4, "some")]


def test_a_batch_that_stands_in_for_none_is_marked():
    trainer = Trainer.__new__(Trainer)
    trainer.cfg, trainer.cuda, trainer.tpu = OmegaConf.structured(FairseqConfig), False, False
    trainer._dummy_batch = {"id": torch.arange(3)}
    real = {"id": torch.arange(2)}
    prepared, stands_in = trainer._prepare_sample(real)
    assert not stands_in and batches.DUMMY_BATCH not in prepared
    for nothing in ({}, None):
        prepared, stands_in = trainer._prepare_sample(nothing)
        assert stands_in and prepared[batches.DUMMY_BATCH] and len(prepared["id"]) == 3
    assert batches.DUMMY_BATCH not in trainer._dummy_batch


def test_swish_is_computed_and_offered():
    x = torch.linspace(-3, 3, 7)
    assert torch.allclose(fairseq.utils.get_activation_fn("swish")(x), x * torch.sigmoid(x))
    assert torch.equal(fairseq.utils.get_activation_fn("relu")(x), x.relu())
    flags = ("--task", "translation", "--arch", "transformer", "--activation-fn", "swish")
    assert toy.parse("data", *flags).model.activation_fn == "swish"


def test_parts_of_a_split_are_joined(tmp_path):
    data = toy.write_parallel(tmp_path, count=5)
    for side in ("sv", "en"):
        toy.write_split(data / f"train1.sv-en.{side}", toy.sentences(3, seed=9))
    argv = (data, "--task", "translation", "--arch", "transformer", "--max-tokens", 99)
    for more in ((), ("--upsample-primary", 1)):
        task = tasks.setup_task(toy.parse(*argv, *more).task)
        task.load_dataset("train", combine=True)
        assert len(task.dataset("train")) == 5 + 3
    task = tasks.setup_task(toy.parse(*argv, "--upsample-primary", 2).task)
    task.load_dataset("train", combine=True)
    assert len(task.dataset("train")) == 2 * 5 + 3


def test_mbart_knows_its_arguments_as_others_do(tmp_path):
    """Its `load_dataset` and `build_generator` read them."""
    data = toy.write_parallel(tmp_path)
    flags = (
        "--task",
        "translation_from_pretrained_bart",
        "--langs",
        "sv,en",
        "-s",
        "sv",
        "-t",
        "en",
    )
    cfg = toy.parse(data, *flags, "--arch", "transformer").task
    task = tasks.setup_task(cfg)
    task.load_dataset("train")
    assert task.args.langs == "sv,en" and len(task.dataset("train")) == 37
