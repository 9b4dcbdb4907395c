"""`lightpaff seq-kd`, as a user runs it: what it writes, continues, splits and refuses."""

import itertools
import json
import os
import re
import shutil

import numpy as np
import pytest
import torch
from fairseq import tasks
from fairseq.data import data_utils

import toy
from cases import CASES
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.sequence_kd import run as running
from lightpaff_fairseq.sequence_kd.corpus import Corpus
from lightpaff_fairseq.sequence_kd.output import DataFolder
from setting import Setting

SS = next(c for c in CASES if c.name == "kd_ss")
SEARCH = ("--beam", 3, "--max-len-b", 6, "--max-tokens", 60, "--keep-cut", "--block-size", 8)
CPU = ("--cpu", "--num-workers", 0)
SAMPLING = ("--sampling", "--nbest", 3)
SIDES = ("sv", "en")


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return Setting(SS, tmp_path_factory.mktemp("seq_kd"))


def seq_kd(setting, out, *flags, data=None, path=None):
    """Runs the command on the CPU; its exit code."""
    words = ["seq-kd", data or setting.data, "--path", path or setting.path, "--out", out, *CPU]
    return main([str(x) for x in (*words, *SEARCH, *flags)])


def error(setting, out, capsys, *flags, **places):
    """The message of a command that is refused before anything is written."""
    capsys.readouterr()
    assert seq_kd(setting, out, *flags, **places) == 2
    assert not out.exists()
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def lines(folder, split="train"):
    """(source, target) of every line, as tuples of symbols."""
    sides = [data_utils.load_indexed_dataset(f"{folder}/{split}.sv-en.{x}", None) for x in SIDES]
    return [tuple(tuple(side[i].tolist()) for side in sides) for i in range(len(sides[0]))]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def naive_hypotheses(setting, beam=3, longest=6):
    """All hypotheses of every source, by a generator that is given one sentence at a time."""
    task, model = setting.task, setting.teacher.eval()
    cfg = toy.parse(*SS.argv(setting.data), "--max-tokens", 99).generation
    cfg.beam, cfg.max_len_b = beam, longest
    generator = task.build_generator([model], cfg)
    found = []
    for index in range(len(task.dataset("train"))):
        (answer,) = task.inference_step(generator, [model], toy.batch(task, [index]))
        found.append([tuple(x["tokens"].tolist()) for x in answer])
    return found


def is_kept(target):
    """Not empty, and no special symbol inside (an untrained model says them, too)."""
    return len(target) > 1 and not {0, 1, 2} & set(target[:-1])


def test_every_line_is_a_source_and_what_the_teacher_says_to_it(setting, tmp_path, capsys):
    assert seq_kd(setting, tmp_path / "out", "--nbest", 2) == 0
    wanted = naive_hypotheses(setting)
    sources = [source for source, _ in lines(setting.data)]
    assert lines(tmp_path / "out") == [
        (source, target)
        for source, targets in zip(sources, wanted, strict=True)
        for target in targets[:2]
        if is_kept(target)
    ]
    dropped = sum(not is_kept(target) for targets in wanted for target in targets[:2])
    report = json.loads((tmp_path / "out" / "seq_kd.json").read_text())
    assert report["pairs"] == {"distilled": 74 - dropped, "original": 0}
    assert sum(report["dropped"].values()) == dropped
    assert f"{74 - dropped} pairs" in capsys.readouterr().out


def test_dictionaries_and_other_splits_come_along_and_a_student_trains(setting, tmp_path):
    out = tmp_path / "out"
    assert seq_kd(setting, out) == 0
    theirs, ours = files(setting.data), files(out)
    assert {name for name in theirs if not name.startswith("train.")} <= ours.keys()
    assert all(ours[name] == theirs[name] for name in theirs if not name.startswith("train."))
    flags = ("--lr", 0.01, "--max-tokens", 60, "--max-update", 2)
    for criterion in ("label_smoothed_cross_entropy", "kd_ss"):
        teacher = ("--kd-teacher", setting.path) if criterion == "kd_ss" else ()
        save_dir = tmp_path / criterion
        argv = SS.argv(out, "--criterion", criterion, *teacher, *flags)
        toy.train(*argv, "--save-dir", save_dir)
        state = toy.checkpoint(save_dir / "checkpoint_last.pt")
        assert state["optimizer_history"][-1]["num_updates"] == 2


class Killed(BaseException):
    """Not an Exception: nothing may handle it."""


def test_a_killed_run_continues_as_if_undisturbed(setting, tmp_path, monkeypatch):
    flags = (*SAMPLING, "--mix", 0.25, "--seed", 5)
    assert seq_kd(setting, tmp_path / "a", *flags) == 0
    real, written = running.write_block, []

    def dies_at_the_third(path, answers):
        written.append(path)
        if len(written) == 3:
            path.with_name(f"{path.name}.1.tmp").write_bytes(b"half")  # what SIGKILL leaves
            raise Killed
        real(path, answers)

    monkeypatch.setattr(running, "write_block", dies_at_the_third)
    with pytest.raises(Killed):
        seq_kd(setting, tmp_path / "b", *flags)
    assert not (tmp_path / "b").exists()
    torch.manual_seed(12345)  # the state that another process would have
    assert seq_kd(setting, tmp_path / "b", *flags) == 0
    assert len(written) == 3 + 3
    assert files(tmp_path / "a") == files(tmp_path / "b")
    blocks = [{p.name: p for p in tmp_path.glob(f"{x}.hypotheses/*.npz")} for x in "ab"]
    assert not list(tmp_path.rglob("*.tmp"))
    assert len(blocks[0]) == 5 and blocks[0].keys() == blocks[1].keys()


@pytest.mark.parametrize("when", ["decoded", "written"])
def test_a_failure_while_writing_leaves_no_data_folder(setting, tmp_path, monkeypatch, when):
    name = "_add_originals" if when == "decoded" else "DataFolder.close"
    target = running.DataFolder if "." in name else running

    def fails(*_args):
        raise Killed

    monkeypatch.setattr(target, name.split(".")[-1], fails)
    with pytest.raises(Killed):
        seq_kd(setting, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out.hypotheses"]


def test_shards_together_are_the_whole(setting, tmp_path, capsys):
    assert seq_kd(setting, tmp_path / "whole", *SAMPLING) == 0
    for shard in (2, 0, 1):
        assert not (tmp_path / "out").exists()
        assert (
            seq_kd(setting, tmp_path / "out", *SAMPLING, "--num-shards", 3, "--shard-id", shard)
            == 0
        )
    assert "blocks of other shards are missing" in capsys.readouterr().out
    assert files(tmp_path / "whole") == files(tmp_path / "out")


def test_shards_that_finish_at_once_write_the_same_folder_once(setting, tmp_path, monkeypatch):
    verify, numbers, times = DataFolder._verify, itertools.count(10**6), []

    def meanwhile(self, corpus):
        """Before this shard renames its folder, another one does."""
        verify(self, corpus)
        times.append(self.folder)
        assert len(times) > 1 or seq_kd(setting, tmp_path / "out") == 0

    monkeypatch.setattr(os, "getpid", lambda: next(numbers))
    monkeypatch.setattr(DataFolder, "_verify", meanwhile)
    assert seq_kd(setting, tmp_path / "out") == 0
    assert len(set(times)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"out", "out.hypotheses"}


def test_sampling_depends_on_the_seed_alone(setting, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert seq_kd(setting, tmp_path / name, *SAMPLING, "--seed", seed) == 0
    a, b, c = (lines(tmp_path / name) for name in "abc")
    assert a == b != c


def test_hypotheses_serve_other_choices_without_the_teacher(setting, tmp_path, monkeypatch):
    assert seq_kd(setting, tmp_path / "a") == 0
    monkeypatch.setattr(running, "make_decoder", None)
    stored = ("--hypotheses", tmp_path / "a.hypotheses")
    assert seq_kd(setting, tmp_path / "b", *stored, "--nbest", 3, "--mix", 0.5) == 0
    assert len(lines(tmp_path / "b")) > len(lines(tmp_path / "a"))
    assert seq_kd(setting, tmp_path / "b", *stored) == 2  # --out exists
    assert seq_kd(setting, tmp_path / "b", *stored, "--force") == 0
    names = {"a", "a.hypotheses", "b"}
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize("share", [0.5, 0.25, 0.9])
def test_shares_of_original_pairs_are_exact(setting, tmp_path, share):
    assert seq_kd(setting, tmp_path / "out", "--mix", share) == 0
    found, originals = lines(tmp_path / "out"), lines(setting.data)
    counts = json.loads((tmp_path / "out" / "seq_kd.json").read_text())["pairs"]
    assert len(found) == sum(counts.values())
    assert abs(counts["original"] - share * len(found)) < 1
    mixed = found[counts["distilled"] :]
    assert set(mixed) <= set(originals)
    often = [mixed.count(pair) / originals.count(pair) for pair in set(originals)]
    assert max(often) - min(often) <= 1


def test_the_hypothesis_nearest_to_the_reference_is_taken(setting, tmp_path):
    assert (
        seq_kd(setting, tmp_path / "out", "--choose", "reference", "--choose-metric", "chrf") == 0
    )
    from sacrebleu.metrics import CHRF

    dictionary, metric = setting.task.target_dictionary, CHRF()
    wanted = []
    for (source, reference), answers in zip(lines(setting.data), naive_hypotheses(setting)):
        text = dictionary.string(torch.tensor(reference))
        scores = [
            metric.sentence_score(dictionary.string(torch.tensor(x)), [text]).score for x in answers
        ]
        wanted.append((source, answers[int(np.argmax(scores))]))
    assert lines(tmp_path / "out") == [(a, b) for a, b in wanted if is_kept(b)]


def test_hypotheses_may_begin_as_the_reference_does(setting, tmp_path):
    assert seq_kd(setting, tmp_path / "out", "--prefix-size", 2) == 0
    begins = {source: target[:2] for source, target in lines(setting.data)}
    found = lines(tmp_path / "out")
    assert found and all(target[:2] == begins[source] for source, target in found)


def test_an_ensemble_decodes_together(setting, tmp_path):
    torch.manual_seed(99)
    cfg = toy.parse(*SS.argv(setting.data, "--max-tokens", 500, teacher=True))
    other = toy.save_model(
        tmp_path / "b.pt", cfg, tasks.setup_task(cfg.task).build_model(cfg.model)
    )
    found = []
    for i, path in enumerate((setting.path, other, f"{setting.path}:{other}")):
        assert seq_kd(setting, tmp_path / str(i), path=path) == 0
        found.append(lines(tmp_path / str(i)))
    assert found[2] not in found[:2]


@pytest.fixture
def copied(setting, tmp_path):
    """A copy of the data that a test may change."""
    return shutil.copytree(setting.data, tmp_path / "data")


def test_parts_of_a_split_are_joined_and_sources_need_no_references(setting, copied, tmp_path):
    extra = toy.sentences(11, seed=8)
    for side in SIDES:
        toy.write_split(copied / f"train1.sv-en.{side}", extra)
    assert seq_kd(setting, tmp_path / "out", data=copied) == 0
    wanted = [source for source, _ in lines(copied)] + [tuple(map(int, x)) for x in extra]
    assert [source for source, _ in lines(tmp_path / "out")] == wanted
    assert not list((tmp_path / "out").glob("train1*"))
    for path in copied.glob("train*.en.*"):
        path.unlink()
    assert seq_kd(setting, tmp_path / "mono", data=copied) == 0
    assert lines(tmp_path / "mono") == lines(tmp_path / "out")


def test_summarisation_truncates_or_drops_what_is_too_long(setting, copied, tmp_path, capsys):
    """Sources of up to 200 symbols, models that take 64."""
    long = toy.sentences(20, seed=8, longest=200)
    toy.write_split(copied / "train.sv-en.sv", long)
    toy.write_split(copied / "train.sv-en.en", [[*x[:3], 2] for x in long])
    too_long = sum(len(x) > 64 for x in long)
    limits = ("--max-source-positions", 64, "--max-tokens", 200)
    assert 0 < too_long < 20
    assert seq_kd(setting, tmp_path / "a", *limits, data=copied) == 0
    assert len(lines(tmp_path / "a")) == 20 - too_long
    assert f"dropped: {too_long} source too long" in capsys.readouterr().out
    assert seq_kd(setting, tmp_path / "b", *limits, "--truncate-source", data=copied) == 0
    assert [source for source, _ in lines(tmp_path / "b")] == [tuple(map(int, x)) for x in long]


def test_hypotheses_of_something_else_are_refused_with_every_difference(setting, tmp_path, capsys):
    assert seq_kd(setting, tmp_path / "a") == 0
    stored = ("--hypotheses", tmp_path / "a.hypotheses")
    torch.manual_seed(1)
    cfg = toy.parse(*SS.argv(setting.data, "--max-tokens", 500, teacher=True))
    other = toy.save_model(
        tmp_path / "b.pt", cfg, tasks.setup_task(cfg.task).build_model(cfg.model)
    )
    flags = (*stored, "--beam", 4, "--lenpen", 0.6, "--block-size", 9, "--split", "valid")
    message = error(setting, tmp_path / "b", capsys, *flags, path=other)
    for words in (
        "--beam: 3 in the folder, 4 here",
        "--lenpen: 1.0 in the folder, 0.6 here",
        "block_size: 8 in the folder, 9 here",
        "split: train in the folder, valid here",
        "SHA-256 of the teacher",
    ):
        assert words in message
    assert seq_kd(setting, tmp_path / "b", *stored, "--max-tokens", 40) == 0  # speed only


def test_text_that_changed_and_blocks_that_are_damaged_are_found(setting, copied, tmp_path, capsys):
    assert seq_kd(setting, tmp_path / "a", data=copied) == 0
    stored = ("--hypotheses", tmp_path / "a.hypotheses")
    texts = toy.sentences(37, seed=0)
    texts[20][0] = 4 + (texts[20][0] - 4 + 1) % toy.WORDS
    toy.write_split(copied / "train.sv-en.sv", texts)
    message = error(setting, tmp_path / "b", capsys, *stored, data=copied)
    assert "hypotheses-0000000016.npz: sentence 20 is another text" in message
    block = tmp_path / "a.hypotheses" / "hypotheses-0000000008.npz"
    content = block.read_bytes()
    block.write_bytes(content[:-40])
    assert f"{block}: damaged" in error(setting, tmp_path / "b", capsys, *stored)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_task_that_reads_another_source_than_the_file_is_noticed(
    setting, tmp_path, monkeypatch, capsys
):
    source = Corpus.source
    monkeypatch.setattr(Corpus, "source", lambda self, i: source(self, (i + 1) % len(self)))
    message = error(setting, tmp_path / "out", capsys)
    assert re.search(r"sentence \d+: the task's source is not the one of the file", message)


def test_wrong_flags_are_all_listed(setting, tmp_path, capsys):
    flags = ("--mix", 1, "--max-ratio", -1, "--block-size", 0, "--shard-id", 2)
    message = error(setting, tmp_path / "out", capsys, *flags)
    for words in ("--mix 1.0", "--max-ratio -1.0", "--block-size 0", "--shard-id 2: expected 0 to"):
        assert words in message
    flags = ("--nbest", 4, "--score-reference", "--model-overrides", "{'dropout': 0}")
    message = error(setting, tmp_path / "out", capsys, *flags, data=tmp_path / "nothing")
    for words in ("--nbest 4: expected 1 to --beam 3", "--score-reference", "--model-overrides"):
        assert words in message
    assert f"{tmp_path / 'nothing'}: no such folder" in message
    message = error(setting, tmp_path / "out", capsys, "--max-tokens", 5)
    assert "--max-tokens 5: expected at least the longest pair, 10" in message
    assert "the best of several samples" in error(setting, tmp_path / "out", capsys, "--sampling")
    message = error(setting, tmp_path / "out", capsys, "--hypotheses", tmp_path / "out")
    assert "not inside --out" in message
    assert not list(tmp_path.iterdir())


def test_bad_places_and_teachers(setting, copied, tmp_path, capsys):
    out = tmp_path / "out"
    assert "no such file" in error(setting, out, capsys, path=tmp_path / "x.pt")
    assert "--path" in error(setting, out, capsys, path=f"{setting.path}:")
    assert "found none" in error(setting, out, capsys, "--split", "nosuch")
    nowhere = tmp_path / "no" / "out"
    assert f"the folder {nowhere.parent} does not exist" in error(setting, nowhere, capsys)
    for path in (copied, tmp_path):
        assert seq_kd(setting, path, "--force", data=copied) == 2
        assert "expected another folder" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert seq_kd(setting, tmp_path / "mine", "--force") == 2
    assert "--force replaces only what seq-kd wrote" in capsys.readouterr().err
    for path in copied.glob("train*.en.*"):
        path.unlink()
    for flags in (("--choose", "reference"), ("--mix", 0.5), ("--prefix-size", 1)):
        assert "has no references" in error(setting, out, capsys, *flags, data=copied)
    toy.write_dictionary(copied / "dict.en.txt", words=toy.WORDS - 1)
    assert "target dictionaries differ" in error(setting, out, capsys, data=copied)


def test_a_language_model_cannot_translate(setting, tmp_path, capsys):
    lm = Setting(next(c for c in CASES if c.name == "kd_lm"), tmp_path / "lm")
    message = error(setting, tmp_path / "out", capsys, path=lm.path)
    assert message.endswith("expected an encoder-decoder, found TransformerLanguageModel")


def test_a_filter_that_leaves_nothing(setting, tmp_path, capsys):
    message = error(setting, tmp_path / "out", capsys, "--min-ratio", 100)
    assert "no hypothesis is left" in message and "length ratio" in message
