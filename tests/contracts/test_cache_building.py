"""Building a cache that is stopped, sharded, repeated, or refused: complete, or not at all."""

import json
import re
import shutil

import pytest
import torch

import toy
from caching import build_cache, cached, run, use_error
from cases import CASES
from lightpaff_fairseq import output_file
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.teachers.cache import builder

SS, LU = (next(c for c in CASES if c.name == n) for n in ("kd_ss", "kd_lu"))


def test_resuming_computes_what_is_missing_and_the_same(cache, settings, monkeypatch, capsys):
    setting = settings(SS)
    before = {path.name: path.read_bytes() for path in cache.iterdir()}
    files = sorted(cache.glob("*.bin"))
    (cache / "cache.json").unlink()
    for path in files[1::2]:
        path.unlink()
    written = []
    original = builder.write_block

    def write(path, items, plan):
        written.append(path)
        return original(path, items, plan)

    monkeypatch.setattr(builder, "write_block", write)
    assert build_cache(setting, cache) == 0
    assert written == files[1::2]
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == before
    assert f"{len(files) - len(written)} of {len(files)} blocks are finished already" in (
        capsys.readouterr().out
    )


def test_a_full_disk_leaves_nothing_half_done(settings, tmp_path, monkeypatch, capsys):
    setting, folder = settings(SS), tmp_path / "cache"
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 4:  # the plan, two blocks
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(output_file.os, "fsync", full)
    assert build_cache(setting, folder) == 1
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


def test_too_little_room_is_noticed_before_any_work(settings, tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(builder.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    for _ in range(2):  # a run that continues looks, too
        assert build_cache(settings(SS), tmp_path / "cache") == 2
        assert "needs about" in capsys.readouterr().err
        assert not list((tmp_path / "cache").glob("*.bin"))


def test_a_teacher_whose_outputs_are_no_numbers_is_refused(settings, tmp_path, capsys):
    """Their codes would be probabilities."""
    setting = settings(SS)
    state = toy.checkpoint(setting.path)
    state["model"]["decoder.layers.0.fc1.bias"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pt")
    for topk in (4, 31):
        out = tmp_path / str(topk)
        assert build_cache(setting, out, "--path", tmp_path / "nan.pt", "--topk", topk) == 2
        assert "--path: expected finite outputs of the teacher, got NaN" in capsys.readouterr().err
        assert not list(out.glob("*.bin"))


def test_shards_may_begin_at_once(settings, tmp_path):
    """One has made the folder and is about to name its plan, or was killed there."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "plan.json.other-17.tmp").write_text("{")
    assert build_cache(settings(SS), tmp_path / "cache") == 0
    assert not list((tmp_path / "cache").glob("*.tmp"))


def test_shards_that_finish_at_once_leave_each_others_header_alone(cache, settings, tmp_path):
    (cache / "cache.json").unlink()
    other = cache / "cache.json.other-17.tmp"
    other.write_text("")
    assert build_cache(settings(SS), cache) == 0
    assert other.exists()


def test_longer_samples_are_no_continuation(cache, settings, capsys):
    """Which samples are left out must be one answer for the whole cache."""
    assert build_cache(settings(SS), cache, "--max-source-positions", 5) == 2
    assert re.search(
        r"max positions: \[.*\] in the folder, \[5, .*\] here", capsys.readouterr().err
    )


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


def test_a_full_disk_while_merging_is_reported_and_the_same_command_continues(
    cache, tmp_path, monkeypatch, capsys
):
    whole = {path.name: path.read_bytes() for path in cache.iterdir()}
    copy, calls, merged = shutil.copyfile, [], tmp_path / "merged"

    def full(source, target):
        calls.append(target)
        if len(calls) == 3:
            target.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        copy(source, target)

    monkeypatch.setattr(builder.shutil, "copyfile", full)
    assert main(["merge-caches", str(cache), "--out", str(merged)]) == 1
    assert f"--out {merged}: cannot be written: " in capsys.readouterr().err
    assert len(list(merged.iterdir())) == 1 + 2  # the plan and two blocks
    assert main(["merge-caches", str(cache), "--out", str(merged)]) == 0
    assert {path.name: path.read_bytes() for path in merged.iterdir()} == whole


def test_another_teacher_is_no_continuation(cache, settings, tmp_path, capsys):
    setting = settings(SS)
    (cache / "cache.json").unlink()
    other = toy.checkpoint(setting.path)
    other["model"] = {name: x + 0.01 for name, x in other["model"].items()}
    torch.save(other, tmp_path / "other.pt")
    flags = ("--path", tmp_path / "other.pt", "--topk", 3)
    assert build_cache(setting, cache, *flags) == 2
    error = capsys.readouterr().err
    assert "SHA-256 of the teacher" in error and "k: 31 in the folder, 3 here" in error
    assert build_cache(setting, tmp_path / "second", *flags) == 0
    assert main(["merge-caches", str(cache), str(tmp_path / "second"), "--out", "x"]) == 2
    assert "SHA-256 of the teacher" in capsys.readouterr().err


@pytest.mark.parametrize(
    "case,flags,words",
    [
        (SS, ("--topk", 32), "--topk 32: expected at most the vocabulary, 31 tokens"),
        (SS, ("--max-tokens", 3), "--max-tokens 3: expected at least the longest sample, 10"),
        (SS, ("--topk", 0, "--temperature", 0), "--topk 0: expected 1 or more; --temperature 0.0"),
        (LU, ("--topk", 2), "--topk 2: expected all 3 classes"),
        (SS, ("--epochs", 2), "--epochs 2: expected 1, since the samples of kd_ss"),
        (SS, ("--path", "/no/such.pt"), "--path /no/such.pt: no such file"),
        (LU, ("--split", "tset"), "--split tset: expected binarized data of the task"),
        (SS, ("--num-shards", 2, "--shard-id", 2), "--shard-id 2: expected 0 to"),
        (SS, ("--num-shards", 0, "--topk", 0), "--topk 0: expected 1 or more; --num-shards 0:"),
        (SS, ("--split", "nosuch"), "--split nosuch: expected binarized data of the task"),
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
    assert (
        "expected a new folder, or one with a plan.json of this command" in capsys.readouterr().err
    )
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_the_size_is_printed_before_and_kept_to(settings, tmp_path, capsys):
    setting = settings(SS)
    assert build_cache(setting, tmp_path / "cache", "--topk", 4) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert "4 tokens per position, 18 bytes per position" in line
    header = json.loads((tmp_path / "cache" / "cache.json").read_text())
    positions = sum(header["contents"]["positions"])
    assert positions == setting.task.dataset("train").tgt_sizes.sum()
    stored = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.bin"))
    samples, blocks = 37, len(header["contents"]["positions"])
    assert stored == positions * (4 * 4 + 2) + samples * 12 + blocks * 20
