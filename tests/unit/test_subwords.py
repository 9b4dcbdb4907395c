"""`lightpaff subwords`: the dictionary fits the pieces, --lossless keeps every character."""

import io
import re
from types import SimpleNamespace

import pytest
import sentencepiece as spm
from fairseq.data import Dictionary

from datasets import texts
from lightpaff_fairseq.cli.main import main

STRANGE = "ﬁne ½ Zürich 漢字 \u2028 x²  two  spaces"  # normalization would change most of it


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text"
    path.write_text("\n".join(texts(400)[0]) + "\n", encoding="utf-8")
    return path


def run(*arguments):
    return main(["subwords", *map(str, arguments)])


def give(monkeypatch, content):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))


@pytest.mark.parametrize(
    ("flags", "vocab"), [((), 200), (("--lossless",), 420), (("--sample", 300), 200)]
)
def test_every_piece_is_in_the_dictionary(text, flags, vocab, monkeypatch, capsys):
    lines = text.read_text(encoding="utf-8").splitlines()
    out = text.with_name("m")
    assert run("train", "--vocab", vocab, "--out", out, *flags, text) == 0
    assert capsys.readouterr().out == f"{out}.model, {out}.dict.txt\n"
    assert {path.name for path in text.parent.iterdir()} == {"text", "m.model", "m.dict.txt"}
    dictionary = Dictionary.load(f"{out}.dict.txt")
    assert len(dictionary) == vocab - 3 + 4 + 1 and dictionary.symbols[-1] == "<mask>"
    encoded = [*lines[:20], STRANGE] if "--lossless" in flags else lines[:20]
    if "--sample" in flags:  # a character outside the sample has no piece
        known = {*"".join(dictionary.symbols), " "}
        encoded = [line for line in lines if set(line) <= known]
        assert 300 < len(encoded) < 400
    give(monkeypatch, ("\n".join(encoded) + "\n").encode())
    assert run("encode", "--model", f"{out}.model") == 0
    rows = [line.split() for line in capsys.readouterr().out.removesuffix("\n").split("\n")]
    assert len(rows) == len(encoded)
    assert not any(dictionary.index(piece) == dictionary.unk() for row in rows for piece in row)
    model = spm.SentencePieceProcessor(model_file=f"{out}.model")
    for line, row in zip(encoded, rows, strict=True):
        assert model.decode(row).split() == line.split()  # words; white space is not kept


def test_a_sample_is_the_same_every_time(text, capsys):
    dictionaries = set()
    for name, count in (("a", 100), ("b", 100), ("c", 300)):
        out = text.with_name(name)
        assert run("train", "--vocab", 80, "--sample", count, "--out", out, text) == 0
        dictionaries.add(text.with_name(f"{name}.dict.txt").read_text())
    assert len(dictionaries) == 2, "a equals b, and c is another sample"


def test_files_are_encoded_one_after_the_other(text, capsys):
    assert run("train", "--vocab", 200, "--out", text.with_name("m"), text) == 0
    capsys.readouterr()
    assert run("encode", "--model", text.with_name("m.model"), text, text) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 800 and rows[:400] == rows[400:]


@pytest.mark.parametrize("limit", ["largest", "smallest"])
def test_the_message_names_a_size_that_works(text, capsys, limit):
    """For a vocabulary that does not fit the text."""
    out = text.with_name("m")
    assert run("train", "--vocab", 100_000 if limit == "largest" else 5, "--out", out, text) == 2
    error = capsys.readouterr().err
    words = {"largest": r"at most ([\d,]+), the largest", "smallest": r"at least ([\d,]+), one"}
    size = int(re.search(words[limit], error)[1].replace(",", ""))
    assert error.startswith("lightpaff subwords: error: --vocab ") and error.count("\n") == 1
    assert {path.name for path in text.parent.iterdir()} == {"text"}
    assert run("train", "--vocab", size, "--out", out, text) == 0
    refused = size + 1 if limit == "largest" else size - 1
    assert run("train", "--force", "--vocab", refused, "--out", out, text) == 2


def test_text_that_is_not_utf8_is_named_with_its_line(text, monkeypatch, capsys):
    bad = text.with_name("bad")
    bad.write_bytes("fine\nåre i fjället\n".encode() + "en å\n".encode("latin-1"))
    words = "line 3: expected UTF-8, got byte 0xe5 at position 4"
    assert run("train", "--vocab", 200, "--out", text.with_name("m"), text, bad) == 2
    assert f"TEXT {bad}: {words}" in capsys.readouterr().err
    assert {path.name for path in text.parent.iterdir()} == {"text", "bad"}
    assert run("train", "--vocab", 200, "--out", text.with_name("m"), text) == 0
    assert run("encode", "--model", text.with_name("m.model"), bad) == 2
    assert f"TEXT {bad}: {words}" in capsys.readouterr().err
    give(monkeypatch, bad.read_bytes())
    assert run("encode", "--model", text.with_name("m.model")) == 2
    assert f"standard input: {words}" in capsys.readouterr().err


def test_all_bad_flags_are_named_at_once(text, capsys):
    text.with_name("m.model").write_text("precious")
    missing = text.with_name("missing")
    assert run("train", "--vocab", 2, "--out", text.with_name("m"), missing) == 2
    error = capsys.readouterr().err
    for words in ("--vocab 2: expected 4 or more", f"TEXT {missing}: no such file", "--force"):
        assert words in error
    assert text.with_name("m.model").read_text() == "precious"
    assert run("train", "--vocab", 9, "--out", missing / "m", text) == 2
    assert "does not exist or cannot be written to" in capsys.readouterr().err


def test_models_that_cannot_be_read(text, capsys):
    assert run("encode", "--model", text.with_name("no.model"), text) == 2
    assert "no.model: no such file" in capsys.readouterr().err
    assert run("encode", "--model", text, text) == 2
    assert "expected a SentencePiece model" in capsys.readouterr().err
    assert run("encode", "--model", text.parent, text) == 2
    expected = f"--model {text.parent}: expected a folder of lightpaff convert, got no encoding"
    assert expected in capsys.readouterr().err


def test_empty_text(text, capsys):
    empty = text.with_name("empty")
    empty.write_text("\n\n")
    assert run("train", "--vocab", 200, "--out", text.with_name("m"), empty) == 2
    assert f"TEXT {empty}: expected text, got empty files" in capsys.readouterr().err
