"""`cache-teacher --sample`: build, resume, shard, train; and what it refuses."""

import shutil

import pytest
import torch

import toy
from caching import build_cache, cached, run, use_error
from cases import CASES
from lightpaff_fairseq.cli.main import main
from setting import assert_same

SS = next(case for case in CASES if case.name == "kd_ss")
SAMPLE = ("--sample", 40, "--epochs", 2, "--seed", 5)


@pytest.fixture(scope="module")
def cache(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("draws") / "cache"
    assert build_cache(settings(SS), folder, *SAMPLE) == 0
    return folder


def test_training_has_the_loss_of_the_draws_of_its_epoch(settings, cache, monkeypatch):
    setting = settings(SS)
    first, second = (run(setting, cached(setting, cache, "--kd-lambda", 1), x) for x in (1, 2))
    assert first[0] != second[0]
    online = setting.run(setting.criterion("--kd-lambda", 1), toy.batch(setting.task, range(12)))
    for _, grads, _ in (first, second):  # about the teacher's
        largest = max(range(len(online[1])), key=lambda i: list(online[1].values())[i].norm())
        a, b = (list(x.values())[largest].flatten() for x in (grads, online[1]))
        assert torch.cosine_similarity(a, b, 0) > 0.5
    monkeypatch.setattr("lightpaff_fairseq.models.outputs._is_sharded", lambda model: True)
    flags = ("--kd-select", "cross_entropy:0.5", "--kd-divergence", "skew_kl")
    dense = run(setting, cached(setting, cache, *flags))
    monkeypatch.undo()
    assert_same(run(setting, cached(setting, cache, *flags)), dense, 2e-5)


def test_a_resumed_build_and_shards_are_the_same_files(settings, cache, tmp_path):
    setting, files = settings(SS), sorted(cache.glob("*.bin"))
    resumed = shutil.copytree(cache, tmp_path / "resumed")
    for name in ("cache.json", files[0].name):
        (resumed / name).unlink()
    flags = ("--batch-size", 2, *SAMPLE)  # other batches, the same draws
    assert build_cache(setting, resumed, *flags) == 0
    shards = [tmp_path / "0", tmp_path / "1"]
    for number, shard in enumerate(shards):
        shard_flags = ("--num-shards", 2, "--shard-id", number)
        assert build_cache(setting, shard, *SAMPLE, *shard_flags) == 0
    merged = tmp_path / "merged"
    assert main([str(x) for x in ("merge-caches", *shards, "--out", merged)]) == 0
    for folder in (resumed, merged):
        for file in (*files, cache / "cache.json"):
            assert (folder / file.name).read_bytes() == file.read_bytes()


def test_flags_that_draws_cannot_serve_are_listed(settings, cache):
    message = use_error(
        settings(SS), cache, "--kd-temperature", 2, "--kd-divergence", "jsd", "--kd-tail", "drop"
    )
    for words in ("--kd-temperature 2.0: expected 1.0", "--kd-divergence jsd: expected forward_kl"):
        assert words in message
    assert "--kd-tail drop: has no effect" in message
    select = use_error(settings(SS), cache, "--kd-select", "reverse_kl:0.5")
    assert "--kd-select reverse_kl: expected a score without the teacher" in select


@pytest.mark.parametrize(
    "flags,words",
    [
        (("--sample", 5, "--topk", 3), "--sample 5: --topk 3 is set too"),
        (("--sample", 0), "--sample 0: expected 1 or more"),
        (("--sample", 10**6), "--sample 1000000: expected at most 541199 for 31 tokens"),
    ],
    ids=str,
)
def test_draws_that_cannot_be_stored(settings, flags, words, tmp_path, capsys):
    assert build_cache(settings(SS), tmp_path / "cache", *flags) == 2
    assert words in capsys.readouterr().err
