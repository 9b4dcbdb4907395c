"""What the plug-in adds to fairseq's trainer."""

import types

import pytest
import torch
from fairseq.dataclass.configs import CheckpointConfig, FairseqConfig
from fairseq.trainer import Trainer
from omegaconf import OmegaConf

import toy
from cases import CASES
from lightpaff_fairseq import resuming
from lightpaff_fairseq.protocols import DUMMY_BATCH
from setting import Setting


@pytest.mark.parametrize(
    "restore,once,words",
    [
        ("/elsewhere/checkpoint_last.pt", None, "--restore-file /elsewhere/checkpoint_last.pt"),
        ("checkpoint_last.pt", "/elsewhere/x.pt", "--continue-once /elsewhere/x.pt"),
    ],
)
def test_files_that_do_not_exist(restore, once, words):
    cfg = OmegaConf.structured(CheckpointConfig(restore_file=restore, continue_once=once))
    with pytest.raises(ValueError, match=words):
        resuming.check_restore_file(cfg, once or restore)
    fresh = OmegaConf.structured(CheckpointConfig)
    resuming.check_restore_file(fresh, "save/checkpoint_last.pt")  # nothing to resume yet


def test_resuming_with_other_batches_warns(caplog):
    cfg = OmegaConf.create({"dataset": {"update_epoch_batch_itr": False}})
    resuming.warn_of_other_batches(cfg, {"train_iterator": {"epoch": 2}})
    assert "--update-epoch-batch-itr True" in caplog.text
    caplog.clear()
    resuming.warn_of_other_batches(cfg, {"train_iterator": {"epoch": 1}})
    cfg.dataset.update_epoch_batch_itr = True
    resuming.warn_of_other_batches(cfg, {"train_iterator": {"epoch": 2}})
    assert not caplog.text


def test_a_criterion_is_told_which_epoch_begins(monkeypatch):
    told = []
    criterion = types.SimpleNamespace(begin_epoch=lambda *args: told.append(args))
    trainer = Trainer.__new__(Trainer)
    trainer.cfg = OmegaConf.create({"dataset": {"train_subset": "some"}})
    monkeypatch.setattr(Trainer, "get_criterion", lambda self: criterion)
    with pytest.raises(AttributeError):  # fairseq's own part needs a whole trainer
        trainer.begin_epoch(4)
    assert told == [(4, "some")]


def test_dummy_batches_are_marked():
    trainer = Trainer.__new__(Trainer)
    trainer.cfg, trainer.cuda, trainer.tpu = OmegaConf.structured(FairseqConfig), False, False
    trainer._dummy_batch = {"id": torch.arange(3)}
    real = {"id": torch.arange(2)}
    prepared, is_dummy = trainer._prepare_sample(real)
    assert not is_dummy and DUMMY_BATCH not in prepared
    for nothing in ({}, None):
        prepared, is_dummy = trainer._prepare_sample(nothing)
        assert is_dummy and prepared[DUMMY_BATCH] and len(prepared["id"]) == 3
    assert DUMMY_BATCH not in trainer._dummy_batch


def test_a_criterion_is_prepared_before_the_checkpoint_is_read(monkeypatch):
    calls = []
    criterion = types.SimpleNamespace(before_training=lambda *args: calls.append(args))
    trainer = Trainer.__new__(Trainer)
    trainer.cfg = OmegaConf.structured(FairseqConfig)
    trainer.cfg.common.cpu = trainer.cfg.checkpoint.no_save = True
    trainer.task, trainer.cfg.dataset.disable_validation = None, True
    trainer._num_updates, trainer._wrapped_model = 7, torch.nn.Linear(1, 1)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(Trainer, "get_criterion", lambda self: criterion)
    monkeypatch.setattr(Trainer, "model", "student")
    assert trainer.load_checkpoint("save/checkpoint_last.pt", True) is None, "nothing to resume"
    ((model, num_updates, starts_afresh),) = calls
    assert (model, num_updates(), starts_afresh) == ("student", 7, True)


def test_other_criterions_are_left_alone(monkeypatch):
    trainer = Trainer.__new__(Trainer)
    trainer.cfg = OmegaConf.create({"dataset": {"train_subset": "some"}})
    monkeypatch.setattr(Trainer, "get_criterion", lambda self: torch.nn.Identity())
    with pytest.raises(AttributeError, match="task|_"):
        trainer.begin_epoch(4)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {c.name: Setting(c, folder / c.name) for c in CASES if c.name in ("kd_ss", "kd_mlm")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("kd_mlm", "the checkpoint lacks encoder.embed_tokens.weight and "),
        ("kd_ss", "encoder.embed_tokens.weight is (31, 16) in the checkpoint, (31, 8) here ("),
    ],
)
@pytest.mark.parametrize("flag", ["--finetune-from-model", "--restore-file"])
def test_weights_of_another_architecture(source, words, flag, models, tmp_path):
    path, setting = models[source].path, models["kd_ss"]
    argv = setting.case.argv(setting.data, "--max-tokens", 100, "--max-update", 1)
    with pytest.raises(ValueError) as caught:
        toy.train(*argv, "--save-dir", tmp_path / "s", flag, path)
    message = str(caught.value)
    assert message.startswith(f"{flag} {path}: expected weights of this --arch and its flags, ")
    assert words in message and "\n" not in message and len(message) < 500


@pytest.mark.slow
def test_a_place_inside_an_epoch_needs_the_same_number_of_processes(tmp_path):
    case = CASES[-1]
    argv = case.argv(case.data(tmp_path / "data"), "--lr", 0.01, "--batch-size", 8, "--seed", 2)
    argv = (*argv, "--disable-validation", "--update-epoch-batch-itr", True)
    save = ("--save-interval-updates", 3, "--max-update", 8, "--save-dir", tmp_path / "run")
    toy.train(*argv, *save)  # 5 updates per epoch
    (inside,), end = (tmp_path / "run").glob("checkpoint_1_3.pt"), tmp_path / "run/checkpoint1.pt"
    for path in (inside, end):
        state = toy.checkpoint(path)
        state["cfg"]["distributed_training"]["distributed_world_size"] = 2
        torch.save(state, path)
    argv = (*argv, "--max-update", 6, "--save-dir", tmp_path / "other")
    with pytest.raises(ValueError) as error:
        toy.train(*argv, "--restore-file", inside)
    words = "inside epoch 1, after 3 batches of each of 2 processes, but this run has 1: "
    assert f"--restore-file {inside}: was saved {words}" in str(error.value)
    assert not list((tmp_path / "other").glob("*.pt"))
    toy.train(*argv, "--restore-file", inside, "--reset-dataloader")
    toy.train(*argv, "--restore-file", end, "--save-dir", tmp_path / "end")
    for name in ("other", "end"):
        state = toy.checkpoint(tmp_path / name / "checkpoint_last.pt")
        assert state["optimizer_history"][-1]["num_updates"] == 6
