"""Training from a cache, in every criterion: the loss of the online teacher, or of its tail."""

import copy
import json
import math
import shutil

import pytest
import torch
from fairseq import tasks
from fairseq.trainer import Trainer
from torch.testing import assert_close

import toy
from caching import build_cache, cached, run, sample_of
from cases import CASES
from lightpaff_fairseq.cli.main import main
from pruning_runs import PRUNE, Run
from setting import Setting, assert_same

BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
WITH_TAIL = [case for case in CASES if case.name != "kd_lu"]
V = toy.WORDS + 5


@pytest.fixture(scope="module")
def caches(settings, tmp_path_factory):
    """A cache of two epochs per case and k, built once."""
    built = {}

    def get(case, k=None, *flags):
        key = (case.name, k, flags)
        if key not in built:
            setting = settings(case)
            folder = tmp_path_factory.mktemp(f"{case.name}_{k}") / "cache"
            epochs = ("--epochs", 2) if case.name in ("kd_mlm", "kd_mssm") else ()
            topk = () if k is None else ("--topk", k)
            assert build_cache(setting, folder, *epochs, *topk, *flags) == 0
            built[key] = folder
        return built[key]

    return get


@BY_NAME
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("name", ["forward_kl", "jsd"])
def test_all_tokens_kept_is_the_online_teacher(settings, caches, case, name, temperature):
    setting = settings(case)
    folder = caches(case, None if case.name == "kd_lu" else V)
    flags = ("--kd-temperature", temperature, "--kd-divergence", name, "--kd-chunk-tokens", 7)
    online = setting.run(setting.criterion(*flags), sample_of(setting, 1))
    assert_same(run(setting, cached(setting, folder, *flags)), online, 1e-5)


@pytest.mark.parametrize("case", WITH_TAIL, ids=lambda c: c.name)
@pytest.mark.parametrize("tail", ["ghost", "drop", "uniform"])
def test_tails_equal_their_formulas(settings, caches, case, tail):
    """The stored probabilities have a relative error of 1.9e-4, so has the loss."""
    setting = settings(case)
    flags = ("--kd-lambda", 1, "--kd-tail", tail)
    got, _, log = run(setting, cached(setting, caches(case, 5), *flags))
    sample = sample_of(setting, 1)
    with torch.no_grad():
        (logits_s, target), (logits_t, _) = (
            case.predict(model, sample) for model in (setting.student, setting.teacher.eval())
        )
    real = case.positions(target, setting.task.source_dictionary.pad())
    expected = 0.0
    for t, s in zip(logits_t[real].double().softmax(-1), logits_s[real].double().softmax(-1)):
        ids = set(t.topk(5).indices.tolist())
        inside = [(t[i].item(), s[i].item()) for i in ids]
        rest_t, rest_s = (1 - sum(x) for x in zip(*inside))
        if tail == "drop":
            pairs = [(p / (1 - rest_t), q) for p, q in inside]
        elif tail == "ghost":
            pairs = [*inside, (rest_t, rest_s)]
        else:
            others = [s[i].item() for i in range(V) if i not in ids]
            pairs = [*inside, *((rest_t / (V - 5), q) for q in others)]
        expected += sum(p * math.log(p / q) for p, q in pairs)
    assert got.item() == pytest.approx(expected, rel=1e-3, abs=2e-4 * log["kd_positions"])


@pytest.mark.parametrize("case", WITH_TAIL, ids=lambda c: c.name)
@pytest.mark.parametrize("tail", ["ghost", "drop", "uniform"])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_fused_and_dense_agree(settings, caches, case, tail, temperature, monkeypatch):
    setting = settings(case)
    baked = ("--temperature", 2) if (tail, temperature) == ("ghost", 2.0) else ()
    folder = caches(case, 5, *baked)
    flags = ("--kd-tail", tail, "--kd-temperature", temperature, "--kd-divergence", "tvd")
    fused = run(setting, cached(setting, folder, *flags))
    monkeypatch.setattr("lightpaff_fairseq.models.outputs._is_sharded", lambda model: True)
    assert_same(run(setting, cached(setting, folder, *flags)), fused, 2e-5)


@BY_NAME
def test_batches_and_their_order_do_not_matter(settings, caches, case):
    setting = settings(case)
    criterion = cached(setting, caches(case))
    whole = run(setting, criterion)
    parts = [run(setting, criterion, 1, [i]) for i in reversed(range(12))]
    loss = torch.stack([p[0] for p in parts]).sum()
    assert_same((loss, {n: sum(p[1][n] for p in parts) for n in whole[1]}), whole, 1e-5)


@BY_NAME
def test_no_teacher_is_loaded_and_nothing_is_saved(settings, caches, case, monkeypatch):
    setting, folder = settings(case), caches(case)
    monkeypatch.setattr("lightpaff_fairseq.teachers.online.load_teacher", None)
    criterion = cached(setting, folder)
    run(setting, criterion)
    assert not list(criterion.parameters()) and not criterion.state_dict()


@pytest.mark.parametrize("name", ["kd_mlm", "kd_mssm"])
def test_masks_of_every_epoch(settings, caches, name):
    case = next(c for c in CASES if c.name == name)
    setting = settings(case)
    criterion = cached(setting, caches(case, V))
    losses = []
    for epoch in (2, 1):
        got = run(setting, criterion, epoch)
        assert_same(got, setting.run(setting.criterion(), sample_of(setting, epoch)), 1e-5)
        losses.append(got[0].item())
    assert losses[0] != losses[1]
    with pytest.raises(ValueError) as caught:
        criterion.begin_epoch(3, "train")
    message = str(caught.value)
    assert "epoch 3 is not stored" in message and "epochs 1 to 2" in message
    assert "--max-epoch 2" in message and "--epochs 3 or more" in message
    criterion.begin_epoch(1, "train")
    with pytest.raises(ValueError, match="of epoch 1 has changed since the cache was built"):
        setting.run(criterion, sample_of(setting, 2))


@BY_NAME
def test_a_whole_training_takes_the_online_steps(settings, caches, case, tmp_path):
    setting = settings(case)
    folder = caches(case, None if case.name == "kd_lu" else V)
    base = ("--lr", 0.01, "--max-tokens", 60, "--max-epoch", 2, "--disable-validation")
    states = []
    for name, teacher in (("a", ("--kd-teacher", setting.path)), ("b", ("--kd-cache", folder))):
        argv = case.argv(setting.data, *base, "--criterion", case.name, *teacher)
        toy.train(*argv, "--save-dir", tmp_path / name, "--optimizer", "sgd")
        states.append(toy.checkpoint(tmp_path / name / "checkpoint_last.pt"))
    online, from_cache = states
    assert online["optimizer_history"][-1]["num_updates"] > 4
    for key, value in online["model"].items():
        assert_close(from_cache["model"][key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("k", [None, 5], ids=["usual", "top-k"])
@BY_NAME
def test_a_process_without_a_batch_needs_no_record(settings, caches, case, k, tmp_path):
    """fairseq gives it one of the epoch before, or of the validation, and ignores the loss."""
    setting = settings(case)
    folder = caches(case, None if case.name == "kd_lu" else k)
    flags = ("--batch-size", 6, "--lr", 0.1, "--optimizer", "sgd", "--save-dir", tmp_path)
    kd = ("--criterion", case.name, "--kd-cache", folder, "--cpu", "--num-workers", 0)
    task, model, criterion = toy.build(*(argv := case.argv(setting.data, *flags, *kd)))
    task.load_dataset("valid")
    trainer = Trainer(toy.parse(*argv), task, model, criterion)
    for epoch in (1, 2):
        batches = trainer.get_train_iterator(epoch).next_epoch_itr()
        trainer.begin_epoch(epoch)
        keys = trainer.train_step([next(batches)]).keys()
        other = toy.batch(task, range(36), "valid")  # longer than any record of this number
        for dummy in (trainer._dummy_batch, other):
            trainer.reset_dummy_batch(dummy)
            before = [p.detach().clone() for p in model.parameters()]
            assert trainer.train_step([{}]).keys() == keys
            assert_close(before, list(model.parameters()), rtol=0, atol=0)


@pytest.mark.slow
def test_one_cache_serves_other_seeds_and_batches(settings, caches, tmp_path):
    """It holds all tokens, so each seed's training takes the steps of the online teacher."""
    case = next(c for c in CASES if c.name == "kd_ss")
    setting = settings(case)
    base = ("--lr", 0.01, "--batch-size", 3, "--max-update", 4, "--disable-validation")
    base += ("--criterion", "kd_ss", "--optimizer", "sgd")
    trained = {}
    for seed in (98, 99):
        for flag, value in (("--kd-cache", caches(case)), ("--kd-teacher", setting.path)):
            save_dir = tmp_path / f"{seed}{flag}"
            argv = case.argv(setting.data, *base, flag, value, "--seed", seed)
            toy.train(*argv, "--save-dir", save_dir)
            state = toy.checkpoint(save_dir / "checkpoint_last.pt")
            assert state["optimizer_history"][-1]["num_updates"] == 4
            trained[seed, flag] = state["model"]
        for name, value in trained[seed, "--kd-teacher"].items():
            from_cache = trained[seed, "--kd-cache"][name]
            assert_close(from_cache, value, rtol=1e-4, atol=1e-5)
    name = "decoder.embed_tokens.weight"
    assert not torch.equal(trained[98, "--kd-cache"][name], trained[99, "--kd-cache"][name])


@pytest.mark.parametrize("name", ["kd_ss", "kd_lm"])
def test_parts_of_a_split_are_cached_together(settings, tmp_path, name):
    """As a training reads `train`, `train1`, ..."""
    setting = copy.copy(settings(next(c for c in CASES if c.name == name)))
    setting.data = shutil.copytree(setting.data, tmp_path / "data")
    for prefix in {path.with_suffix("") for path in setting.data.glob("train*.bin")}:
        part = prefix.with_name(prefix.name.replace("train", "train1"))
        toy.write_split(part, toy.sentences(11, seed=8))
    assert build_cache(setting, tmp_path / "cache") == 0
    argv = setting.case.argv(setting.data, "--lr", 0.01, "--max-tokens", 60, "--max-epoch", 1)
    argv += ("--criterion", name, "--kd-cache", tmp_path / "cache", "--disable-validation")
    toy.train(*argv, "--save-dir", tmp_path / "save")
    header = json.loads((tmp_path / "cache" / "cache.json").read_text())
    assert header["data"]["samples"] == 37 + 11


@pytest.mark.parametrize("name", ["kd_ss", "kd_mlm"])
def test_a_prunable_task_has_the_samples_of_its_stock_task(name, tmp_path):
    """One cache for both, whichever of the two commands it was built with."""
    run = Run(name, tmp_path)
    own = ("--path", run.teacher, "--cpu", "--num-workers", 0)
    own += ("--epochs", 9) if name == "kd_mlm" else ()
    flags = (*PRUNE, "--max-update", 9)
    pruning = [*run.argv(*flags)]
    del pruning[pruning.index("--criterion") : pruning.index("--finetune-from-model")]
    stock = (run.data, *run.case.task, "--seed", 3)
    for argv, out in ((stock, "of_stock"), (pruning, "of_pruning")):
        words = ("cache-teacher", *argv, *own, "--out", tmp_path / out)
        assert main([str(x) for x in words]) == 0
    caches = [tmp_path / out for out in ("of_stock", "of_pruning")]
    assert len({(cache / "cache.json").read_text() for cache in caches}) == 1
    argv = [*run.argv(*flags, "--save-dir", tmp_path / "s", "--disable-validation")]
    place = argv.index("--kd-teacher")
    argv[place : place + 2] = ["--kd-cache", caches[0]]
    toy.train(*argv)
    state = toy.checkpoint(tmp_path / "s" / "checkpoint_last.pt")
    assert state["optimizer_history"][-1]["num_updates"] == 9


def test_regressions_are_kept_as_numbers(tmp_path):
    case = next(c for c in CASES if c.name == "kd_lu")
    flags = ("--regression-target", "--num-classes", 1)
    setting = Setting.__new__(Setting)
    setting.case, setting.data = case, case.data(tmp_path / "data")
    cfg = toy.parse(*case.argv(setting.data, *flags, "--max-tokens", 500, teacher=True))
    setting.teacher = tasks.setup_task(cfg.task).build_model(cfg.model).eval()
    setting.path = toy.save_model(tmp_path / "t.pt", cfg, setting.teacher)
    setting.task, setting.student, _ = toy.build(*case.argv(setting.data, *flags))
    assert build_cache(setting, tmp_path / "cache", *flags) == 0
    got = run(setting, cached(setting, tmp_path / "cache", *flags))
    online = setting.run(setting.criterion(*flags), sample_of(setting, 1))
    assert_same(got, online, 1e-5)
    assert got[2]["kd_loss"] > 0
    with pytest.raises(ValueError, match="expected probabilities, got values"):
        run(setting, cached(setting, tmp_path / "cache"))
