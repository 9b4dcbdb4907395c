"""`lightpaff seq-kd` on a part of a split, and on text."""

import json

import pytest
import torch

from seq_kd_runs import error, files, lines, seq_kd


def words(setting, count=None):
    """The sources of the training split as text."""
    dictionary = setting.task.source_dictionary
    sources = [source for source, _ in lines(setting.data)][:count]
    return [dictionary.string(torch.tensor(source)) for source in sources]


def write(path, rows):
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_a_limit_takes_the_first_sentences_of_the_split(setting, tmp_path, capsys):
    assert seq_kd(setting, tmp_path / "all") == 0
    assert seq_kd(setting, tmp_path / "out", "--limit", 20, "--mix", 0.5) == 0
    pairs = lines(tmp_path / "out")
    report = json.loads((tmp_path / "out" / "seq_kd.json").read_text())
    assert report["sentences"] == 20 and report["hypotheses"]["data"]["--limit"] == 20
    count = report["pairs"]["distilled"]
    assert pairs[:count] == lines(tmp_path / "all")[:count] and 0 < count <= 20
    assert set(pairs[count:]) <= set(lines(setting.data)[:20])
    stored = ("--hypotheses", tmp_path / "out.hypotheses")
    message = error(setting, tmp_path / "b", capsys, *stored)
    assert "--limit: 20 in the folder, none here" in message
    assert seq_kd(setting, tmp_path / "more", "--limit", 99) == 0
    assert files(tmp_path / "more") == files(tmp_path / "all")


def test_text_gives_what_the_same_split_gives(setting, tmp_path, capsys):
    rows = words(setting)
    parts = [write(tmp_path / "a.txt", ["", *rows[:9]]), write(tmp_path / "b.txt", rows[9:])]
    assert seq_kd(setting, tmp_path / "out", "--text", *parts) == 0
    tokens = sum(len(row.split()) for row in rows)
    printed = capsys.readouterr().out
    expected = f"37 sentences, {tokens} tokens, 0.00% of them <unk>; 1 empty lines skipped"
    assert expected in printed
    assert seq_kd(setting, tmp_path / "split") == 0
    out, split = (files(tmp_path / name) for name in ("out", "split"))
    for folder in (out, split):
        del folder["seq_kd.json"]
    assert out == split
    names = {"a.txt", "b.txt", "out", "out.hypotheses", "split", "split.hypotheses"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_text_is_continued_by_the_same_text_only(setting, tmp_path, capsys):
    text = write(tmp_path / "a.txt", words(setting))
    assert seq_kd(setting, tmp_path / "out", "--text", text) == 0
    stored = ("--hypotheses", tmp_path / "out.hypotheses")
    assert seq_kd(setting, tmp_path / "again", "--text", text, *stored, "--nbest", 2) == 0
    other = write(tmp_path / "b.txt", words(setting)[::-1])
    message = error(setting, tmp_path / "b", capsys, "--text", other, *stored)
    assert "SHA-256 of --text: " in message
    assert "SHA-256 of --text: " in error(setting, tmp_path / "b", capsys, *stored)


def test_data_need_no_training_split_for_text(setting, copied, tmp_path):
    text = write(tmp_path / "a.txt", words(setting, 9))
    for path in copied.glob("train.*"):
        path.unlink()
    assert seq_kd(setting, tmp_path / "out", "--text", text, data=copied) == 0
    assert [source for source, _ in lines(tmp_path / "out")] == [
        source for source, _ in lines(setting.data)[:9]
    ]
    assert len(lines(tmp_path / "out", "valid")) == 37


def test_raw_text_is_encoded_by_sentencepiece(setting, tmp_path, capsys):
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["w x"] * 20),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=40,
        hard_vocab_limit=False,
        user_defined_symbols=[f"w{i}" for i in range(26)],
        add_dummy_prefix=False,
    )
    rows = words(setting)
    raw = write(tmp_path / "raw.txt", [row.replace(" ", "") for row in rows])
    pieces = ("--sentencepiece-model", tmp_path / "spm.model")
    assert seq_kd(setting, tmp_path / "out", "--text", raw, *pieces) == 0
    assert seq_kd(setting, tmp_path / "split") == 0
    assert lines(tmp_path / "out") == lines(tmp_path / "split")
    message = error(setting, tmp_path / "b", capsys, "--text", raw)
    assert "expected at most 5.0% of <unk> (--max-unk 0.05), got" in message
    assert "Raw text needs --sentencepiece-model" in message
    bad = write(tmp_path / "not.model", ["text"])
    flags = ("--text", raw, "--sentencepiece-model", bad)
    assert "expected a SentencePiece model" in error(setting, tmp_path / "b", capsys, *flags)


def test_bad_text_is_named(setting, tmp_path, capsys):
    out, text = tmp_path / "out", write(tmp_path / "a.txt", words(setting, 3))
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"w1 w2\nw3 \xe5\nw4\n")
    message = error(setting, out, capsys, "--text", text, latin)
    assert f"--text {latin}, line 2: expected UTF-8, got" in message and "byte 4" in message
    empty = write(tmp_path / "empty.txt", ["", " "])
    assert "expected sentences, got empty files" in error(setting, out, capsys, "--text", empty)
    flags = ("--text", text, tmp_path / "none.txt", "--choose", "reference", "--mix", 0.5)
    message = error(setting, out, capsys, *flags, "--split", "valid", "--max-unk", 2)
    for part in (
        f"--text {tmp_path / 'none.txt'}: no such file",
        "--choose reference: expected no --text",
        "--mix 0.5: expected no --text",
        "--split valid: expected no --text",
        "--max-unk 2.0: expected a share from 0 to 1",
    ):
        assert part in message
    message = error(setting, out, capsys, "--text", text, "--prefix-size", 1)
    assert "--prefix-size 1: expected no --text" in message
    message = error(setting, out, capsys, "--max-unk", 0.1, "--sentencepiece-model", text)
    assert "--max-unk 0.1: expected --text" in message
    assert "--sentencepiece-model" in message and "--limit 0" in error(
        setting, out, capsys, "--limit", 0
    )
    assert sorted(x.name for x in tmp_path.iterdir()) == ["a.txt", "empty.txt", "latin.txt"]


@pytest.mark.parametrize("share", [0, 0.6])
def test_unknown_tokens_may_be_allowed(setting, tmp_path, capsys, share):
    text = write(tmp_path / "a.txt", ["w1 zebra", "zebra w2"])
    out = tmp_path / "out"
    if share:
        assert seq_kd(setting, out, "--text", text, "--max-unk", share) == 0
        assert "50.00% of them <unk>" in capsys.readouterr().out
    else:
        assert "at most 0.0% of <unk>" in error(
            setting, out, capsys, "--text", text, "--max-unk", share
        )
