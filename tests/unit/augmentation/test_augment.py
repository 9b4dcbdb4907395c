"""`lightpaff augment` on toy data with an untrained masked language model."""

import json
import shutil

import numpy as np
import pytest
import torch
from fairseq import tasks
from fairseq.data import Dictionary, data_utils

import toy
from cases import CASES
from lightpaff_fairseq.augmentation.words import words_of
from lightpaff_fairseq.cli.main import main
from message_flags import check_flags

MLM, LU = (next(case for case in CASES if case.name == name) for name in ("kd_mlm", "kd_lu"))
SIZE = ("--copies", 4, "--candidates", 3, "--max-tokens", 40, "--block-size", 16, "--cpu")
SIZE += ("--mask-share", 0.3)
PARTS = ("input0", "input1", "label")


def save(case, folder, data):
    cfg = toy.parse(*case.argv(data, "--max-tokens", 500))
    torch.manual_seed(3)
    model = tasks.setup_task(cfg.task).build_model(cfg.model)
    return toy.save_model(folder / f"{case.name}.pt", cfg, model)


class World:
    """Pairs of sentences with labels, and a masked language model."""

    def __init__(self, folder):
        self.data = toy.write_labeled(folder / "data")
        shutil.copytree(self.data / "input0", self.data / "input1")
        toy.write_split(self.data / "input1" / "train", toy.sentences(37, 5))
        self.path = save(MLM, folder, MLM.data(folder / "mono"))
        self.out = folder / "out"
        assert self.augment(self.out) == 0

    def augment(self, out, *flags, path=None, data=None):
        words = ["augment", data or self.data, "--path", path or self.path, "--out", out]
        return main([str(x) for x in (*words, *SIZE, *flags)])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


def rows(folder, name, split="train"):
    data = data_utils.load_indexed_dataset(f"{folder}/{name}/{split}", None)
    return [data[i].numpy() for i in range(len(data))]


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def samples(folder):
    """The sentences and labels of every sample, as lists, and the line of its regression."""
    lines = (folder / "label" / "train.label").read_text().splitlines()
    parts = (map(np.ndarray.tolist, rows(folder, name)) for name in PARTS)
    return list(zip(*parts, lines, strict=True))


def naive_proposals(model, dictionary, sentence, position):
    """The 3 most probable words, from complete logits of one sentence, masked as stated."""
    tokens = torch.tensor([[0, *sentence]])
    words = len(sentence) - 1
    groups = -(-words // max(1, int(0.3 * len(sentence))))
    tokens[0, 1 + position % groups : 1 + words : groups] = dictionary.index("<mask>")
    order = model(tokens)[0][0, position + 1].argsort(descending=True).tolist()
    words = range(dictionary.index("w0"), dictionary.index("w0") + toy.WORDS)
    return [i for i in order if i in words and i != sentence[position]][:3]


def test_copies_have_words_that_the_model_proposes(world):
    """Every original is followed by different copies, with its label; the rest is as it was."""
    cfg = toy.parse(*MLM.argv(world.path.parent / "mono", "--max-tokens", 500))
    task = tasks.setup_task(cfg.task)
    model = task.build_model(cfg.model).eval()
    model.load_state_dict(toy.checkpoint(world.path)["model"])
    originals, written = samples(world.data), samples(world.out)
    starts = [written.index(original) for original in originals]
    assert starts == sorted(starts) and starts[0] == 0
    checked = 0
    for original, a, b in zip(originals, starts, [*starts[1:], len(written)], strict=True):
        group = written[a:b]
        assert len({str(row[:2]) for row in group}) == len(group) <= 5
        assert {str(row[2:]) for row in group} == {str(original[2:])}
        for copy in group[1:]:
            assert copy[:2] != original[:2]
            assert [len(x) for x in copy[:2]] == [len(x) for x in original[:2]]
            checked += a < 20
            for k in (0, 1) if a < 20 else ():
                for i, word in enumerate(copy[k]):
                    if word != original[k][i]:
                        assert word in naive_proposals(model, task.dictionary, original[k], i)
    assert len(written) > 4 * 37 and checked > 10
    report = json.loads((world.out / "augment.json").read_text())
    assert report["samples"] == {"before": 37, "after": len(written), "without copies": 0}
    before, after = files(world.data), files(world.out)
    kept = {name for name in before if "/train" not in name}
    assert len(kept) > 8 and all(before[name] == after[name] for name in kept)


def test_the_task_reads_it(world):
    task, _, _ = toy.build(*LU.argv(world.out, "--separator-token", 2))
    assert len(task.dataset("train")) == len(rows(world.out, "input0"))
    assert toy.batch(task, range(5))["target"].shape == (5, 1)


def test_shards_seeds_and_a_lost_block(world, tmp_path, capsys):
    """The same output whatever computes it; other seeds and sizes need no model."""
    assert world.augment(tmp_path / "a", "--num-shards", 2) == 0
    assert not (tmp_path / "a").exists() and "1 blocks of other" in capsys.readouterr().out
    assert world.augment(tmp_path / "a", "--num-shards", 2, "--shard-id", 1) == 0
    assert files(tmp_path / "a") == files(world.out)
    block = sorted((tmp_path / "a.proposals").glob("*.npz"))[1]
    content = block.read_bytes()
    block.unlink()
    assert world.augment(tmp_path / "a", "--force") == 0
    assert files(tmp_path / "a") == files(world.out) and block.read_bytes() == content
    more = ("--proposals", tmp_path / "a.proposals", "--copies", 9)
    assert world.augment(tmp_path / "more", *more) == 0
    assert "3 of 3 blocks are finished" in capsys.readouterr().out
    first, other = (rows(x, "input0")[:5] for x in (world.out, tmp_path / "more"))
    assert [x.tolist() for x in first] == [x.tolist() for x in other]
    assert world.augment(tmp_path / "seed", *more[:2], "--seed", 2) == 0
    assert files(tmp_path / "seed")["input0/train.bin"] != files(world.out)["input0/train.bin"]


def error(world, capsys, out, *flags, **places):
    capsys.readouterr()
    before = files(out.parent)
    assert world.augment(out, *flags, **places) == 2
    assert files(out.parent) == before
    (line,) = capsys.readouterr().err.strip().splitlines()
    check_flags("augment", line)
    return line


@pytest.mark.parametrize(
    "flags,message",
    [
        (("--probability", 0), "--probability 0.0: expected a number above 0, up to 1"),
        (("--probability", 2, "--copies", 0), "1 or more; --probability 2.0: expected a number"),
        (("--candidates", 26), "--candidates 26: expected at most 25, the whole words"),
        (("--split", "test"), "input0/test: expected a split of fairseq-preprocess, got none"),
        (("--num-shards", 2, "--shard-id", 2), "--shard-id 2: expected 0 to 1"),
        (("--max-tokens", 5), "--max-tokens 5: expected at least the longest sample, 1"),
    ],
    ids=str,
)
def test_refused_flags(world, tmp_path, capsys, flags, message):
    assert message in error(world, capsys, tmp_path / "out", *flags)


def test_refused_files(world, tmp_path, capsys):
    """A classifier, another dictionary, missing labels, numbers as symbols, a folder of another."""
    (tmp_path / "w").mkdir()
    out = tmp_path / "w" / "out"
    assert "--out " + str(world.out) + ": exists already" in error(world, capsys, world.out)
    classifier = save(LU, tmp_path, world.data)
    message = error(world, capsys, out, path=classifier)
    assert "expected a model of the task masked_lm, got one of sentence_prediction" in message
    untrained = toy.with_untrained_head(world.path, tmp_path / "untrained.pt")
    assert "masked-LM head was never trained" in error(world, capsys, out, path=untrained)
    other = save(MLM, tmp_path, MLM.data(tmp_path / "mono", words=20))
    assert "dictionaries differ: symbol 24 is '<mask>'" in error(world, capsys, out, path=other)
    data = tmp_path / "data"
    shutil.copytree(world.data, data)
    (data / "input0" / "dict.txt").write_text("".join(f"{i} 1\n" for i in range(26)))
    assert "--gpt2-encoder-json: expected fairseq's encoder.json" in error(
        world, capsys, out, data=data
    )
    toy.write_split(data / "label" / "train", [[4, 2]] * 36)
    message = error(world, capsys, out, data=data)
    assert "expected as many samples in every part, got 37 in input0, 37 in input1, 36" in message
    flags = ("--proposals", world.out.with_name("out.proposals"), "--candidates", 2)
    assert "candidates: 3 in the folder, 2 here" in error(world, capsys, out, *flags)


SENTENCES = {  # symbols, of which the words are in capitals; "1" stands for no word
    "sentencepiece": "\u2581THE \u2581play er \u2581CAME , \u2581it ' s \u2581MORE \u2581 <mask>",
    "wordpiece": "THE play ##er CAME , MORE [unused1] 1 ## <mask>",
    "subword_nmt": "THE play@@ er CAME , MORE 1 <mask>",
    "words": "THE CAME , MORE 1 [unused1] <mask>",
    "bytes": "0 1 2 3 4 5 6 7",
}
TOKENS = {"\u0120THE": 0, "\u0120play": 1, "er": 2, "\u0120CAME": 3, ",": 4, "\u0120MORE": 5}


@pytest.mark.parametrize("name", SENTENCES)
def test_words(name, tmp_path):
    (tmp_path / "encoder.json").write_text(json.dumps({**TOKENS, "\u01201": 6, "\u0120a1": 8}))
    symbols, dictionary = SENTENCES[name].split(), Dictionary()
    for symbol in symbols:
        dictionary.add_symbol(symbol)
    words = words_of(dictionary, tmp_path / "encoder.json" if name == "bytes" else None)
    tokens = np.array([*map(dictionary.index, symbols), dictionary.eos()])
    replaced = [symbols[i] for i in words.positions(tokens).tolist()]
    if name == "bytes":
        replaced = [token for token, i in TOKENS.items() if str(i) in replaced]
    assert [x.strip("\u2581\u0120") for x in replaced] == ["THE", "CAME", "MORE"]
    assert not words.is_word[dictionary.index("<mask>")]
