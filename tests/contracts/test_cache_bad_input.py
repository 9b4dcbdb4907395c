"""Caches of other data, corrupt or unfinished ones are refused in one clear error."""

import copy
import shutil

import pytest
import torch
from fairseq import tasks

import toy
from caching import build_cache, cached, run, use_error
from cases import CASES
from setting import Setting

SS, LM, MSSM, MLM, LU = (
    next(c for c in CASES if c.name == n) for n in ("kd_ss", "kd_lm", "kd_mssm", "kd_mlm", "kd_lu")
)


def training_error(case, data, save_dir, *flags):
    """The message with which fairseq-train stops; checks that nothing was written."""
    base = ("--criterion", case.name, "--lr", 0.01, "--max-tokens", 100, "--max-update", 1)
    with pytest.raises(ValueError) as caught:
        toy.train(*case.argv(data, *base, *flags), "--save-dir", save_dir)
    assert not list(save_dir.glob("*"))
    return str(caught.value)


def test_other_data_dictionary_and_flags_are_all_listed(cache, tmp_path):
    other = toy.write_parallel(tmp_path / "other", count=30, words=toy.WORDS + 2)
    message = training_error(SS, other, tmp_path / "s", "--kd-cache", cache, "--truncate-source")
    assert message.startswith(f"--kd-cache {cache}: built with other data or flags: ")
    for words in (
        "samples: 37 in the cache, 30 here",
        "source dictionary: 31 symbols",
        "--truncate-source: False in the cache, True here",
        "rebuild it with lightpaff cache-teacher",
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
    with pytest.raises(
        ValueError, match="sample 5 of epoch 1 has changed since the cache was built"
    ):
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
    assert f"{first}: corrupt: expected {len(content)} bytes, got" in use_error(setting, cache)
    first.write_bytes(content)
    second.unlink()
    assert f"1 files are missing: {second.name}" in use_error(setting, cache)
    (cache / "cache.json").unlink()
    message = use_error(setting, cache)
    assert f"not finished: {len(others) + 1} of {len(others) + 2} blocks are there" in message
    assert build_cache(setting, cache) == 0
    run(setting, cached(setting, cache))


@pytest.mark.slow
def test_every_flipped_byte_is_noticed_and_named(cache, settings):
    setting = settings(SS)
    files = sorted(cache.glob("*.bin"))
    for path in (files[0], files[-1]):
        content = path.read_bytes()
        for place in (0, 9, 13, 17, 21, 25, len(content) // 2, len(content) - 1):
            corrupt = bytearray(content)
            corrupt[place] ^= 4
            path.write_bytes(corrupt)
            with pytest.raises(ValueError) as caught:
                run(setting, cached(setting, cache), 1, range(37))
            assert str(path) in str(caught.value), place
        path.write_bytes(content)
    header = cache / "cache.json"
    text = header.read_text()
    header.write_text(text.replace('"vocab": 31', '"vocab": 30'))
    assert "cache.json: corrupt: checksum mismatch" in use_error(setting, cache)
    header.write_text(text.replace('"version": 1', '"version": 2'))
    assert "expected version 1, got 2" in use_error(setting, cache)
    header.write_text("[1, 2")
    assert "cache.json: corrupt: line 1, column 6: not JSON" in use_error(setting, cache)
    header.write_text("{}")
    assert "expected a file of the format 'lightpaff teacher cache'" in use_error(setting, cache)
    header.write_text(text)
    run(setting, cached(setting, cache), 1, range(37))


def test_no_cache_there(settings, tmp_path):
    setting = settings(SS)
    assert f"--kd-cache {tmp_path / 'no'}: no such folder" in use_error(setting, tmp_path / "no")
    assert "got a folder without cache.json" in use_error(setting, tmp_path)


@pytest.mark.parametrize(
    "flags,words",
    [
        (("--kd-teacher", "t.pt"), "--kd-teacher t.pt is set too; set only one of them"),
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
            "--kd-temperature 3.0: expected 1.0, the temperature at which the cache",
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
    assert "--kd-temperature 3.0: expected 2.0, the temperature of the cache" in message


def test_samples_that_are_too_long_for_the_teacher(tmp_path, capsys, caplog):
    data = SS.data(tmp_path / "data")
    cfg = toy.parse(*SS.argv(data, "--max-tokens", 500, "--max-target-positions", 6, teacher=True))
    model = tasks.setup_task(cfg.task).build_model(cfg.model)
    setting = Setting.__new__(Setting)
    setting.case, setting.data = SS, data
    setting.path = toy.save_model(tmp_path / "short.pt", cfg, model)
    setting.task, setting.student, _ = toy.build(*SS.argv(data))
    assert build_cache(setting, tmp_path / "cache") == 0
    output = capsys.readouterr().out
    lengths = setting.task.dataset("train").tgt_sizes
    short = [i for i, n in enumerate(lengths) if n <= 6]
    assert 3 < len(short) < 37
    left_out = 37 - len(short)
    assert f"{left_out} samples were skipped, too long for task or teacher" in output
    criterion = cached(setting, tmp_path / "cache")
    run(setting, criterion, 1, short)
    assert f"{left_out} samples were too long for the teacher" in caplog.text
    long = next(i for i, n in enumerate(lengths) if n > 6)
    with pytest.raises(ValueError, match=f"sample {long} was too long for the teacher"):
        run(setting, criterion, 1, [long])


def test_a_block_of_another_teachers_cache(cache, settings, tmp_path):
    """Over the same data, with the same flags: nothing but the plan tells them apart."""
    other = copy.copy(settings(SS))
    other.path = tmp_path / "other.pt"
    state = toy.checkpoint(settings(SS).path)
    torch.save({**state, "model": {k: v + 0.1 for k, v in state["model"].items()}}, other.path)
    assert build_cache(other, tmp_path / "other") == 0
    blocks = sorted(path.name for path in cache.glob("*.bin"))
    assert blocks == sorted(path.name for path in (tmp_path / "other").glob("*.bin"))
    shutil.copyfile(tmp_path / "other" / blocks[0], cache / blocks[0])
    message = use_error(settings(SS), cache)
    assert message.startswith(f"{cache / blocks[0]}: is a block of another cache")
