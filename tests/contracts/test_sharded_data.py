"""A corpus in two folders, DATA `data1:data2`: one cache per folder, read in turn like the data."""

import shutil

import pytest
import torch

import toy
from caching import build_cache, cached, run
from cases import CASES
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.data_shards import split_problems
from seq_kd_runs import files, lines, seq_kd

LM, MLM, SS = (next(c for c in CASES if c.name == name) for name in ("kd_lm", "kd_mlm", "kd_ss"))
NAMES = ("one", "two")
BLOCKS = ("--sample-break-mode", "none", "--tokens-per-sample", 8)
RUN = ("--optimizer", "sgd", "--lr", 0.5, "--batch-size", 8, "--seed", 7)
RUN += ("--update-epoch-batch-itr", True)


def flags_of(case):
    """Flags of data and cache: kd_lm cuts blocks of 8 tokens, kd_mlm stores three epochs."""
    return BLOCKS if case is LM else ()


def joined(folder):
    return ":".join(str(folder / name) for name in NAMES)


class Sharded:
    """A copy of a setting with two folders of different texts, and their caches."""

    def __init__(self, setting, folder):
        self.case, self.path, self.student = setting.case, setting.path, setting.student
        self.run = setting.run
        shutil.copytree(setting.data, folder / "one")
        shutil.copytree(setting.data, folder / "two")
        texts = toy.sentences(29, seed=9)
        if self.case is SS:
            toy.write_split(folder / "two/train.sv-en.sv", texts)
            toy.write_split(folder / "two/train.sv-en.en", [[*x[-2::-1], 2] for x in texts])
        else:
            toy.write_split(folder / "two/train", texts)
        for name in ("dict.txt", "dict.sv.txt", "valid.bin", "valid.idx"):  # of the first alone
            (folder / "two" / name).unlink(missing_ok=True)
        self.data, self.folder = joined(folder), folder
        self.task, *_ = toy.build(*self.case.argv(self.data))
        self.build = lambda *argv, **values: type(setting).build(self, *argv, **values)

    def cache(self, name, *flags):
        """Build both caches; return --kd-cache."""
        (self.folder / name).mkdir()
        outs = joined(self.folder / name)
        epochs = ("--epochs", 3) if self.case is MLM else ()
        assert build_cache(self, outs, *epochs, *flags_of(self.case), *flags) == 0
        return outs

    def train(self, name, *flags):
        save = self.folder / name
        argv = self.case.argv(self.data, *flags_of(self.case), *RUN, "--criterion", self.case.name)
        toy.train(*argv, "--disable-validation", *flags, "--save-dir", save)
        return toy.checkpoint(save / "checkpoint_last.pt")["model"]


@pytest.fixture(scope="module")
def sharded(settings, tmp_path_factory):
    built = {}

    def get(case):
        if case.name not in built:
            folder = tmp_path_factory.mktemp(f"sharded_{case.name}")
            built[case.name] = Sharded(settings(case), folder)
        return built[case.name]

    return get


@pytest.mark.parametrize("case", [LM, MLM, SS], ids=str)
def test_every_epoch_reads_the_cache_of_its_folder(sharded, case):
    """With all tokens stored, three epochs are those of the online teacher, also when resumed."""
    corpus = sharded(case)
    caches = corpus.cache("all", "--topk", toy.WORDS + 5, "--seed", 7)
    online = corpus.train("online", "--kd-teacher", corpus.path, "--max-epoch", 3)
    whole = corpus.train("whole", "--kd-cache", caches, "--max-epoch", 3)
    for name, tensor in online.items():
        assert torch.allclose(tensor, whole[name], atol=1e-5), name
    corpus.train("parts", "--kd-cache", caches, "--max-update", 6)  # in the second epoch
    parts = corpus.train("parts", "--kd-cache", caches, "--max-epoch", 3)
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())


def test_a_cache_is_that_of_its_folder_alone_and_shards_of_the_work_complete_it(sharded):
    corpus = sharded(SS)
    whole = corpus.cache("whole_work")
    alone = build_cache(corpus, corpus.folder / "alone", "--num-shards", 1)
    assert alone == 2  # one folder for two
    shutil.copy(corpus.folder / "one/dict.sv.txt", corpus.folder / "two")
    second, corpus.data = corpus.data, corpus.folder / "two"
    assert build_cache(corpus, corpus.folder / "alone") == 0
    corpus.data = second
    (corpus.folder / "two/dict.sv.txt").unlink()
    outs = [corpus.cache(f"part{i}", "--num-shards", 2, "--shard-id", i) for i in (0, 1)]
    parts = [out.split(":")[1] for out in outs]
    assert main(["merge-caches", *parts, "--out", str(corpus.folder / "merged")]) == 0
    expected = files(corpus.folder / "whole_work/two")
    assert whole.endswith("whole_work/two") and len(expected) > 4
    for name in ("alone", "merged"):
        assert files(corpus.folder / name) == expected


def refusal(corpus, caches, epoch=1):
    with pytest.raises(ValueError) as caught:
        run(corpus, cached(corpus, caches), epoch)
    return str(caught.value)


def test_caches_that_do_not_fit_are_refused_before_the_first_update(sharded, settings, capsys):
    corpus = sharded(SS)
    first, second = corpus.cache("fit", "--topk", 4).split(":")
    assert "expected 2 folders joined by colons, as many as DATA has, got 1" in refusal(
        corpus, first
    )
    message = refusal(corpus, f"{second}:{first}")
    assert message.startswith(f"--kd-cache {second}: built with other data or flags")
    assert f"; --kd-cache {first}: built with other data or flags" in message
    assert f"--kd-cache {second}x: no such folder" in refusal(corpus, f"{first}:{second}x")
    assert "expected different folders" in refusal(corpus, f"{first}:{first}")
    other = corpus.cache("other", "--topk", 5).split(":")[1]
    message = refusal(corpus, f"{first}:{other}")
    assert message == f"--kd-cache {other}: k: 4 in {first}, 5 here"
    (data := corpus.folder / "two/train.sv-en.sv.idx").rename(corpus.folder / "kept")
    try:
        message = refusal(corpus, f"{first}:{second}")
        assert message.startswith(f"DATA {corpus.folder}/two: the split train cannot be read: ")
    finally:
        (corpus.folder / "kept").rename(data)
    assert f"DATA {corpus.folder}/two: expected files trian.*, got none" in list(
        split_problems(corpus.data, "trian")
    )
    masked = sharded(MLM)
    assert build_cache(masked, joined(masked.folder), "--epochs", 1) == 2
    assert "--epochs 1: expected 2 or more" in capsys.readouterr().err


def test_masks_that_are_not_stored_are_refused(sharded):
    corpus = sharded(MLM)
    criterion = cached(corpus, corpus.cache("masks", "--topk", 4))
    run(corpus, criterion)
    assert sorted(x.name[:9] for x in corpus.folder.glob("masks/one/*.bin"))[-1] == "epoch0003"
    assert {x.name[:9] for x in corpus.folder.glob("masks/two/*.bin")} == {"epoch0002"}
    corpus.task.load_dataset("train", epoch=4)
    with pytest.raises(ValueError, match=r"two: epoch 4 is not stored, only epochs 2: stop with"):
        criterion.begin_epoch(4, "train")


def test_hypotheses_of_every_folder(sharded, settings, tmp_path, capsys):
    corpus = sharded(SS)
    outs = joined(tmp_path)
    assert seq_kd(corpus, tmp_path / "alone", data=corpus.folder / "one") == 0
    assert seq_kd(corpus, tmp_path / "one") == 2
    assert "--out" in capsys.readouterr().err and not (tmp_path / "one").exists()
    assert seq_kd(corpus, outs) == 0
    assert files(tmp_path / "one") == files(tmp_path / "alone")
    sources = [source for source, _ in lines(tmp_path / "two")]
    assert [[*x] for x in sources] == toy.sentences(29, seed=9)
    assert (tmp_path / "two.hypotheses/plan.json").is_file()
    stopped = files(tmp_path / "two")
    shutil.rmtree(tmp_path / "two")
    capsys.readouterr()
    assert seq_kd(corpus, outs) == 0  # continues a run that was stopped between the two
    assert f"{tmp_path / 'one'}: finished before, reused" in capsys.readouterr().out
    assert files(tmp_path / "two") == stopped
    shutil.rmtree(tmp_path / "two")
    assert seq_kd(corpus, outs, "--nbest", 2) == 2  # of other pairs
    assert f"--out {tmp_path / 'one'}: exists already" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "one")
    assert seq_kd(corpus, outs) == 0
    argv = corpus.case.argv(outs, *RUN, "--max-epoch", 2, "--disable-validation", "--no-save")
    toy.train(*argv)  # the student reads both
