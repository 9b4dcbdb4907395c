"""What `lightpaff seq-kd` refuses, in one clear line and before anything is written."""

import re

import pytest
import torch
from fairseq import tasks

import toy
from cases import CASES
from lightpaff_fairseq.sequence_kd.corpus import Corpus
from seq_kd_runs import SS, error, seq_kd
from setting import Setting


def test_hypotheses_of_something_else_are_refused_with_every_difference(setting, tmp_path, capsys):
    assert seq_kd(setting, tmp_path / "a") == 0
    stored = ("--hypotheses", tmp_path / "a.hypotheses")
    torch.manual_seed(1)
    cfg = toy.parse(*SS.argv(setting.data, "--max-tokens", 500, teacher=True))
    other = toy.save_model(
        tmp_path / "b.pt", cfg, tasks.setup_task(cfg.task).build_model(cfg.model)
    )
    flags = (*stored, "--beam", 4, "--lenpen", 0.6, "--block-size", 9, "--split", "valid")
    flags += ("--max-source-positions", 40)
    message = error(setting, tmp_path / "b", capsys, *flags, path=other)
    for words in (
        "--beam: 3 in the folder, 4 here",
        "--lenpen: 1.0 in the folder, 0.6 here",
        "block size: 8 in the folder, 9 here",
        "split: train in the folder, valid here",
        "--max-source-positions: 1024 in the folder, 40 here",
        "SHA-256 of the teacher",
    ):
        assert words in message
    assert seq_kd(setting, tmp_path / "b", *stored, "--max-tokens", 40) == 0  # speed only


def test_changed_text_and_corrupt_blocks_are_noticed(setting, copied, tmp_path, capsys):
    assert seq_kd(setting, tmp_path / "a", data=copied) == 0
    stored = ("--hypotheses", tmp_path / "a.hypotheses")
    texts = toy.sentences(37, seed=0)
    texts[20][0] = 4 + (texts[20][0] - 4 + 1) % toy.WORDS
    toy.write_split(copied / "train.sv-en.sv", texts)
    message = error(setting, tmp_path / "b", capsys, *stored, data=copied)
    assert "hypotheses-0000000016.npz: sentence 20 has changed since it was decoded" in message
    block = tmp_path / "a.hypotheses" / "hypotheses-0000000008.npz"
    content = block.read_bytes()
    block.write_bytes(content[:-40])
    assert f"{block}: corrupt" in error(setting, tmp_path / "b", capsys, *stored)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_task_that_reads_another_source_than_the_file_is_noticed(
    setting, tmp_path, monkeypatch, capsys
):
    source = Corpus.source
    monkeypatch.setattr(Corpus, "source", lambda self, i: source(self, (i + 1) % len(self)))
    message = error(setting, tmp_path / "out", capsys)
    assert re.search(r"sentence \d+: expected the tokens of the file", message)


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
    message = error(setting, tmp_path / "out", capsys, "--min-len", 7)
    assert "--min-len 7: expected at most --max-len-b 6" in message
    message = error(setting, tmp_path / "out", capsys, "--max-tokens", 5)
    assert "--max-tokens 5: expected at least the longest sample, 10" in message
    for flags, words in (
        (("--post-process", "x"), "--post-process x: expected sentencepiece, "),
        (("--temperature", 0), "--temperature 0.0: expected a number above 0"),
        (
            ("--sampling", "--nbest", 3, "--sampling-topk", 999),
            "--sampling-topk 999: expected at most the vocabulary, 31 tokens",
        ),
    ):
        assert words in error(setting, tmp_path / "out", capsys, *flags)
    assert "the best of several samples" in error(setting, tmp_path / "out", capsys, "--sampling")
    message = error(setting, tmp_path / "out", capsys, "--hypotheses", tmp_path / "out")
    assert "outside --out" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_bad_places_and_teachers(setting, copied, tmp_path, capsys):
    out = tmp_path / "out"
    assert "no such file" in error(setting, out, capsys, path=tmp_path / "x.pt")
    assert "--path" in error(setting, out, capsys, path=f"{setting.path}:")
    assert "from fairseq-preprocess, got none" in error(setting, out, capsys, "--split", "nosuch")
    nowhere = tmp_path / "no" / "out"
    assert f"the folder {nowhere.parent} does not exist" in error(setting, nowhere, capsys)
    for path in (copied, tmp_path):
        assert seq_kd(setting, path, "--force", data=copied) == 2
        assert "expected a folder that does not contain the input" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert seq_kd(setting, tmp_path / "mine", "--force") == 2
    assert "--force replaces only what this command wrote" in capsys.readouterr().err
    for path in copied.glob("train*.en.*"):
        path.unlink()
    for flags in (("--choose", "reference"), ("--mix", 0.5), ("--prefix-size", 1)):
        assert "expected references in" in error(setting, out, capsys, *flags, data=copied)
    toy.write_dictionary(copied / "dict.en.txt", words=toy.WORDS - 1)
    assert "target dictionaries differ" in error(setting, out, capsys, data=copied)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of fairseq's file
def test_empty_splits_are_named(setting, copied, tmp_path, capsys):
    for side in ("sv", "en"):
        toy.write_split(copied / f"train.sv-en.{side}", [])
    message = error(setting, tmp_path / "out", capsys, data=copied)
    assert f"{copied / 'train.sv-en.sv'}: expected a dataset of fairseq-preprocess" in message


def test_what_stops_the_generator_is_reported(setting, tmp_path, capsys):
    state = toy.checkpoint(setting.path)
    state["model"]["decoder.layers.0.fc1.bias"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pt")
    message = error(setting, tmp_path / "a", capsys, path=tmp_path / "nan.pt")
    assert "finite outputs of --path" in message
    message = error(setting, tmp_path / "b", capsys, "--max-len-a", 0.1, "--min-len", 50)
    assert "min_len cannot be larger than max_len" in message


def test_a_language_model_cannot_translate(setting, tmp_path, capsys):
    lm = Setting(next(c for c in CASES if c.name == "kd_lm"), tmp_path / "lm")
    message = error(setting, tmp_path / "out", capsys, path=lm.path)
    assert message.endswith("expected an encoder-decoder, got TransformerLanguageModel")


def test_a_filter_that_leaves_nothing(setting, tmp_path, capsys):
    message = error(setting, tmp_path / "out", capsys, "--min-ratio", 100)
    assert "all hypotheses were dropped" in message and "length ratio" in message
