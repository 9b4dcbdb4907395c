"""Caches and hypotheses that version 0.1.0 wrote are read, continued, and what is built today."""

import shutil
import struct
from pathlib import Path

import pytest
import torch

import toy
from caching import build_cache, cached, run
from cases import CASES
from lightpaff_fairseq.losses.top_k import TopKOutput
from lightpaff_fairseq.sequence_kd import assemble
from lightpaff_fairseq.sequence_kd.hypotheses import FORMAT, read_block
from lightpaff_fairseq.teachers.cache.header import read_plan
from seq_kd_runs import files, seq_kd
from setting import Setting, assert_same

BY_NAME = {case.name: case for case in CASES}
TOPK = ("--topk", 4)
EPOCHS = {"kd_ss": 1, "kd_mlm": 2}


def stored_setting(name):
    """The task, teacher and student of an extracted folder, which is the current one."""
    setting = Setting.__new__(Setting)
    setting.case, setting.data, setting.path = (
        BY_NAME[name],
        Path(name, "data"),
        f"{name}/teacher.pt",
    )
    setting.task, setting.student, _ = toy.build(*setting.case.argv(setting.data))
    return setting


class ExactTopK:
    """The k most probable tokens of an online teacher, not rounded."""

    def __init__(self, teacher):
        self.teacher = teacher

    def begin_epoch(self, epoch, split):
        pass

    def soft_targets(self, student, sample, positions):
        probs = self.teacher.soft_targets(student, sample, positions).logits().double().softmax(-1)
        top, ids = probs.topk(4)
        lprobs = torch.cat([top, 1 - top.sum(-1, keepdim=True)], -1).log()
        return TopKOutput(ids, lprobs.float(), probs.size(-1))


@pytest.mark.parametrize("name,epoch", [("kd_ss", 1), ("kd_mlm", 1), ("kd_mlm", 2)])
def test_an_old_cache_gives_the_loss_of_the_online_teacher(root, name, epoch):
    """Of its k tokens and the rest: stored probabilities have a relative error of 1.9e-4."""
    setting = stored_setting(name)
    criterion, online = cached(setting, root / name / "cache"), setting.criterion()
    from_cache = run(setting, criterion, epoch)
    online.before_training(setting.student, lambda: 0)
    criterion.distiller.teacher = ExactTopK(online.distiller.teacher)
    assert_same(from_cache, run(setting, criterion, epoch), 1e-3)


@pytest.mark.parametrize("name", EPOCHS)
def test_an_old_cache_trains_a_student(root, tmp_path, name):
    flags = ("--lr", 0.01, "--max-tokens", 100, "--max-epoch", EPOCHS[name], "--save-dir", tmp_path)
    kd = ("--criterion", name, "--kd-cache", root / name / "cache", "--disable-validation")
    toy.train(*BY_NAME[name].argv(Path(name, "data"), *flags, *kd))
    history = toy.checkpoint(tmp_path / "checkpoint_last.pt")["optimizer_history"]
    assert history[-1]["num_updates"] >= 4


def unstamped(folder):
    """Return the files of a cache as version 0.1 wrote them; check the plan's checksum."""
    contents, plan = files(folder), read_plan(folder / "plan.json")[0].checksum
    for name, content in contents.items():
        if content.startswith(b"LPTBLOCK"):
            assert struct.unpack("<I", content[16:20]) == (plan,)
            contents[name] = b"LPTCACHE" + content[8:16] + content[20:]
    return contents


@pytest.mark.parametrize("name", EPOCHS)
def test_todays_cache_is_the_old_one_byte_by_byte(root, tmp_path, name):
    setting, flags = stored_setting(name), (*TOPK, "--epochs", EPOCHS[name])
    old = files(root / name / "cache")
    assert build_cache(setting, tmp_path / "new", *flags) == 0
    assert unstamped(tmp_path / "new") == old and len(old) > 2 + 4
    unfinished = shutil.copytree(root / name / "cache", tmp_path / "unfinished")
    for path in (unfinished / "cache.json", *sorted(unfinished.glob("*.bin"))[1::2]):
        path.unlink()
    assert build_cache(setting, unfinished, *flags) == 0
    assert unstamped(unfinished) == old


def test_old_hypotheses_make_the_same_data_and_are_not_decoded_again(root, tmp_path, monkeypatch):
    monkeypatch.setattr(assemble, "load_decoder", None)
    stored = ("--hypotheses", root / "kd_ss" / "seq_kd.hypotheses")
    assert seq_kd(stored_setting("kd_ss"), tmp_path / "out", *stored) == 0
    assert files(tmp_path / "out") == files(root / "kd_ss" / "seq_kd")


def test_todays_hypotheses_are_the_old_ones(root, tmp_path):
    setting, old = stored_setting("kd_ss"), root / "kd_ss" / "seq_kd.hypotheses"
    assert seq_kd(setting, tmp_path / "out") == 0
    new = tmp_path / "out.hypotheses"
    plan = FORMAT.checksum(FORMAT.read(new / "plan.json"))
    assert (new / "plan.json").read_bytes() == (old / "plan.json").read_bytes()
    blocks = sorted(path.name for path in old.glob("*.npz"))
    assert blocks == sorted(path.name for path in new.glob("*.npz")) and len(blocks) == 5
    for name in blocks:
        pair = [read_block(folder / name, 5 if "32" in name else 8, plan) for folder in (old, new)]
        tokens = [[[h.tokens.tolist() for h in x.hypotheses] for x in block] for block in pair]
        assert tokens[0] == tokens[1]
        assert [x.source for x in pair[0]] == [x.source for x in pair[1]]
