"""Caches that do not fit, are damaged or unfinished are refused in one clear error."""

import json
import shutil

import pytest
import torch
from fairseq import tasks

import toy
from caching import build_cache, cached, run, sample_of
from cases import CASES
from lightpaff_fairseq.cache import block, builder
from lightpaff_fairseq.cli.main import main
from setting import Setting

SS, LM, MSSM, MLM, LU = (
    next(c for c in CASES if c.name == n) for n in ("kd_ss", "kd_lm", "kd_mssm", "kd_mlm", "kd_lu")
)


@pytest.fixture
def cache(settings, tmp_path):
    """A fresh cache that a test may damage."""
    assert build_cache(settings(SS), tmp_path / "cache") == 0
    return tmp_path / "cache"


def training_error(case, data, save_dir, *flags):
    """The message with which fairseq-train stops; checks that nothing was written."""
    base = ("--criterion", case.name, "--lr", 0.01, "--max-tokens", 100, "--max-update", 1)
    with pytest.raises(ValueError) as caught:
        toy.train(*case.argv(data, *base, *flags), "--save-dir", save_dir)
    assert not list(save_dir.glob("*"))
    return str(caught.value)


def use_error(setting, folder, *flags):
    with pytest.raises(ValueError) as caught:
        run(setting, cached(setting, folder, *flags))
    return str(caught.value)


def test_other_data_dictionary_and_flags_are_all_listed(cache, tmp_path):
    other = toy.write_parallel(tmp_path / "other", count=30, words=toy.WORDS + 2)
    message = training_error(SS, other, tmp_path / "s", "--kd-cache", cache, "--truncate-source")
    assert message.startswith(f"--kd-cache {cache} is of other data or flags: ")
    for words in (
        "samples: 37 in the cache, 30 here",
        "source dictionary: 31 symbols",
        "--truncate-source: False in the cache, True here",
        "build it anew with lightpaff cache-teacher",
    ):
        assert words in message


def test_another_split(cache, settings, tmp_path):
    flags = ("--kd-cache", cache, "--train-subset", "test")
    message = training_error(SS, settings(SS).data, tmp_path / "s", *flags)
    assert "split: train in the cache, test here" in message


def test_text_that_changed_without_changing_its_size(cache, settings, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(settings(SS).data, data)
    texts = toy.sentences(37, seed=0)
    texts[5][0] = 4 + (texts[5][0] - 4 + 1) % toy.WORDS
    toy.write_split(data / "train.sv-en.sv", texts)
    _, student, criterion = toy.build(
        *SS.argv(data, "--criterion", "kd_ss", "--kd-cache", cache, "--kd-lambda", 1)
    )
    criterion.train().before_training(student, lambda: 0)
    criterion.begin_epoch(1, "train")  # no flag and no size differs
    criterion(student, toy.batch(criterion.task, [4, 6]))
    with pytest.raises(ValueError, match="sample 5 of epoch 1 is another text here"):
        criterion(student, toy.batch(criterion.task, [4, 5, 6]))


@pytest.mark.parametrize(
    "case,flags,words",
    [
        (LM, ("--tokens-per-sample", 16), "--tokens-per-sample: 32 in the cache, 16 here"),
        (LM, ("--sample-break-mode", "none"), "--sample-break-mode: eos in the cache, none here"),
        (MSSM, ("--mask-ratio", 0.3), "--mask-ratio: 0.5 in the cache, 0.3 here"),
        (MSSM, ("--seed", 5), "--seed: 1 in the cache, 5 here"),
        (MLM, ("--mask-prob", 0.2), "--mask-prob: 0.4 in the cache, 0.2 here"),
        (SS, ("--ignore-prefix-size", 1), "--ignore-prefix-size: 0 in the cache, 1 here"),
    ],
    ids=str,
)
def test_flags_that_decide_what_a_sample_is(settings, tmp_path, case, flags, words):
    setting = settings(case)
    assert build_cache(setting, tmp_path / "cache") == 0
    message = training_error(
        case, setting.data, tmp_path / "s", "--kd-cache", tmp_path / "cache", *flags
    )
    assert words in message


def test_truncated_missing_and_unfinished(cache, settings):
    setting = settings(SS)
    first, second, *others = sorted(cache.glob("*.bin"))
    assert others
    content = first.read_bytes()
    first.write_bytes(content[:-3])
    assert f"{first}: expected {len(content)} bytes, found" in use_error(setting, cache)
    first.write_bytes(content)
    second.unlink()
    assert f"1 files are missing: {second.name}" in use_error(setting, cache)
    (cache / "cache.json").unlink()
    message = use_error(setting, cache)
    assert f"not finished: {len(others) + 1} of {len(others) + 2} blocks are there" in message
    assert build_cache(setting, cache) == 0
    run(setting, cached(setting, cache))


def test_every_flipped_byte_is_found_and_named(cache, settings):
    setting = settings(SS)
    files = sorted(cache.glob("*.bin"))
    for path in (files[0], files[-1]):
        content = path.read_bytes()
        for place in (0, 9, 13, 17, 21, 25, len(content) // 2, len(content) - 1):
            damaged = bytearray(content)
            damaged[place] ^= 4
            path.write_bytes(damaged)
            with pytest.raises(ValueError) as caught:
                run(setting, cached(setting, cache), 1, range(37))
            assert str(path) in str(caught.value), place
        path.write_bytes(content)
    header = cache / "cache.json"
    text = header.read_text()
    header.write_text(text.replace('"vocab": 31', '"vocab": 30'))
    assert "cache.json: damaged" in use_error(setting, cache)
    header.write_text(text.replace('"version": 1', '"version": 2'))
    assert "expected version 1, found 2" in use_error(setting, cache)
    header.write_text("[1, 2")
    assert "expected a lightpaff teacher cache" in use_error(setting, cache)
    header.write_text(text)
    run(setting, cached(setting, cache), 1, range(37))


def test_no_cache_there(settings, tmp_path):
    setting = settings(SS)
    assert f"--kd-cache {tmp_path / 'no'}: no such folder" in use_error(setting, tmp_path / "no")
    assert "found no cache.json in it" in use_error(setting, tmp_path)


@pytest.mark.parametrize(
    "flags,words",
    [
        (("--kd-teacher", "t.pt"), "there is --kd-teacher t.pt as well; give one of them"),
        (("--kd-hidden-weight", 1), "--kd-hidden-weight needs the layers of a --kd-teacher"),
        (("--kd-temperature-schedule", "cwsm"), "cwsm needs the logits of a --kd-teacher"),
        (
            ("--kd-tail", "drop", "--kd-divergence", "reverse_kl"),
            "--kd-tail drop with reverse KL is infinite",
        ),
        (
            ("--kd-tail", "drop", "--kd-divergence", "jsd", "--kd-beta", 1),
            "--kd-tail drop with reverse KL is infinite",
        ),
        (
            ("--kd-temperature", 3),
            "outside the 30 that the cache",
        ),
    ],
    ids=str,
)
def test_what_a_cache_cannot_do(settings, tmp_path, flags, words):
    setting = settings(SS)
    assert build_cache(setting, tmp_path / "cache", "--topk", 30) == 0
    assert words in use_error(setting, tmp_path / "cache", *flags)


def test_a_temperature_that_is_not_the_caches(settings, tmp_path):
    setting = settings(SS)
    assert build_cache(setting, tmp_path / "cache", "--temperature", 2) == 0
    message = use_error(setting, tmp_path / "cache", "--kd-temperature", 3)
    assert "--kd-temperature 3.0: the cache" in message and "at temperature 2.0" in message


def test_samples_that_are_too_long_for_the_teacher(tmp_path, capsys, caplog):
    data = SS.data(tmp_path / "data")
    cfg = toy.parse(*SS.argv(data, "--max-tokens", 500, "--max-target-positions", 6, teacher=True))
    model = tasks.setup_task(cfg.task).build_model(cfg.model)
    setting = Setting.__new__(Setting)
    setting.case, setting.data = SS, data
    setting.path = toy.save_model(tmp_path / "short.pt", cfg, model)
    setting.task, setting.student, _ = toy.build(*SS.argv(data))
    assert build_cache(setting, tmp_path / "cache") == 0
    said = capsys.readouterr().out
    lengths = setting.task.dataset("train").tgt_sizes
    short = [i for i, n in enumerate(lengths) if n <= 6]
    assert 3 < len(short) < 37
    left_out = 37 - len(short)
    assert f"{left_out} samples are too long for task or teacher" in said
    criterion = cached(setting, tmp_path / "cache")
    run(setting, criterion, 1, short)
    assert f"{left_out} samples were too long for the teacher" in caplog.text
    long = next(i for i, n in enumerate(lengths) if n > 6)
    with pytest.raises(ValueError, match=f"sample {long} was too long for the teacher"):
        run(setting, criterion, 1, [long])


# building


def test_resuming_computes_what_is_missing_and_the_same(cache, settings, monkeypatch, capsys):
    setting = settings(SS)
    before = {path.name: path.read_bytes() for path in cache.iterdir()}
    files = sorted(cache.glob("*.bin"))
    (cache / "cache.json").unlink()
    for path in files[1::2]:
        path.unlink()
    written = []
    original = builder.write_block
    monkeypatch.setattr(
        builder, "write_block", lambda path, items: written.append(path) or original(path, items)
    )
    assert build_cache(setting, cache) == 0
    assert written == files[1::2]
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == before
    assert f"{len(files) - len(written)} of {len(files)} blocks are there already" in (
        capsys.readouterr().out
    )


def test_a_full_disk_leaves_nothing_half_done(settings, tmp_path, monkeypatch, capsys):
    setting, folder = settings(SS), tmp_path / "cache"
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(block.os, "fsync", full)
    assert build_cache(setting, folder) == 2
    error = capsys.readouterr().err
    assert "No space left on device" in error and "2 blocks of this run are complete" in error
    assert len(list(folder.glob("*.bin"))) == 2
    assert not list(folder.glob("*.tmp")) and not (folder / "cache.json").exists()
    assert "not finished: 2 of" in use_error(setting, folder)
    assert build_cache(setting, folder) == 0
    run(setting, cached(setting, folder))


def test_what_a_killed_run_left_is_no_block(cache, settings):
    setting = settings(SS)
    before = {path.name: path.read_bytes() for path in cache.iterdir()}
    (cache / "cache.json").unlink()
    last = sorted(cache.glob("*.bin"))[-1]
    last.rename(cache / f"{last.name}.4711.tmp")
    assert "not finished" in use_error(setting, cache)
    assert build_cache(setting, cache) == 0
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == before


def test_too_little_room_is_said_before_any_work(settings, tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(builder.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert build_cache(settings(SS), tmp_path / "cache") == 2
    assert "needs about" in capsys.readouterr().err
    assert not list((tmp_path / "cache").glob("*.bin"))


def test_shards_in_one_folder_and_merged_from_two_are_the_whole(cache, settings, tmp_path, capsys):
    setting = settings(SS)
    whole = {path.name: path.read_bytes() for path in cache.iterdir()}
    together = tmp_path / "together"
    for shard in (0, 1):
        assert build_cache(setting, together, "--num-shards", 2, "--shard-id", shard) == 0
        assert (together / "cache.json").exists() == (shard == 1)
        own = tmp_path / f"shard{shard}"
        assert build_cache(setting, own, "--num-shards", 2, "--shard-id", shard) == 0
        assert "blocks of other shards are missing" in capsys.readouterr().out
    merged, parts = tmp_path / "merged", [str(tmp_path / f"shard{i}") for i in (0, 1)]
    assert main(["merge-caches", parts[0], "--out", str(merged)]) == 0
    assert "blocks of other shards are missing" in capsys.readouterr().out
    assert main(["merge-caches", *parts, "--out", str(merged)]) == 0
    for folder in (together, merged):
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_shards_may_start_and_end_at_once(settings, tmp_path):
    """What another run has half written is neither in the way nor taken from it."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "plan.json.4711.tmp").write_text("{")
    (folder / "cache.json.4712.tmp").touch()
    assert build_cache(settings(SS), folder) == 2  # no plan yet, so not a cache's
    (folder / "cache.json.4712.tmp").unlink()
    assert build_cache(settings(SS), folder, "--num-shards", 2) == 0
    (folder / "cache.json.4712.tmp").touch()
    assert build_cache(settings(SS), folder, "--num-shards", 2, "--shard-id", 1) == 0
    assert [path.name for path in folder.glob("*.tmp")] == ["cache.json.4712.tmp"]


def test_another_teacher_is_no_continuation(cache, settings, tmp_path, capsys):
    setting = settings(SS)
    (cache / "cache.json").unlink()
    other = toy.checkpoint(setting.path)
    other["model"] = {name: x + 0.01 for name, x in other["model"].items()}
    torch.save(other, tmp_path / "other.pt")
    flags = ("--path", tmp_path / "other.pt", "--topk", 3)
    assert build_cache(setting, cache, *flags) == 2
    error = capsys.readouterr().err
    assert "SHA-256 of the teacher" in error and "k: 31 in the cache, 3 here" in error
    assert build_cache(setting, tmp_path / "second", *flags) == 0
    assert main(["merge-caches", str(cache), str(tmp_path / "second"), "--out", "x"]) == 2
    assert "SHA-256 of the teacher" in capsys.readouterr().err


@pytest.mark.parametrize(
    "case,flags,words",
    [
        (SS, ("--topk", 32), "--topk 32: expected at most the 31 symbols there are"),
        (SS, ("--topk", 0, "--temperature", 0), "--topk 0: expected 1 or more; --temperature 0.0"),
        (LU, ("--topk", 2), "--topk 2: expected all 3 classes"),
        (SS, ("--epochs", 2), "--epochs 2: kd_ss sees the same samples in every epoch"),
        (SS, ("--path", "/no/such.pt"), "--path /no/such.pt: no such file"),
        (SS, ("--split", "tset"), "--split tset: no such split in"),
        (LU, ("--split", "tset"), "--split tset: no such split in"),
        (SS, ("--num-shards", 2, "--shard-id", 2), "--shard-id 2: expected 0 to"),
        (SS, ("--out", "/no/such/folder"), "the folder /no/such does not exist"),
    ],
    ids=str,
)
def test_bad_flags_of_building(settings, tmp_path, capsys, case, flags, words):
    assert build_cache(settings(case), tmp_path / "cache", *flags) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_data_that_are_not_there(settings, tmp_path, capsys):
    flags = ("--path", settings(SS).path, "--out", tmp_path / "cache", "--task", "translation")
    assert main([str(x) for x in ("cache-teacher", tmp_path / "no", *flags)]) == 2
    assert f"{tmp_path / 'no'}: no such folder" in capsys.readouterr().err


def test_a_folder_of_something_else_is_not_used(settings, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert build_cache(settings(SS), tmp_path) == 2
    assert "expected a new folder or an unfinished cache" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_size_is_said_before_and_kept_to(settings, tmp_path, capsys):
    setting = settings(SS)
    assert build_cache(setting, tmp_path / "cache", "--topk", 4) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert "4 symbols each, 18 bytes a position" in said
    header = json.loads((tmp_path / "cache" / "cache.json").read_text())
    positions = sum(header["contents"]["positions"])
    assert positions == setting.task.dataset("train").tgt_sizes.sum()
    stored = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.bin"))
    samples, blocks = 37, len(header["contents"]["positions"])
    assert stored == positions * (4 * 4 + 2) + samples * 12 + blocks * 16
    assert sample_of(setting, 1)["id"].dtype == torch.int64
