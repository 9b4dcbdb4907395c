"""examples/subwords.py: the dictionary fits the pieces, and --lossless keeps every character."""

import subprocess
import sys

import pytest
import sentencepiece as spm
from fairseq.data import Dictionary

from datasets import texts
from recording import ROOT

STRANGE = "ﬁne ½ Zürich 漢字 \u2028 x²  two  spaces"  # normalization would change most of it


def subwords(*arguments, text=""):
    command = [sys.executable, str(ROOT / "examples" / "subwords.py"), *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("flags", "vocab"), [((), 200), (("--lossless",), 420), (("--sample", 300), 200)]
)
def test_every_piece_is_in_the_dictionary(tmp_path, flags, vocab):
    lines = texts(400)[0]
    (tmp_path / "text").write_text("\n".join(lines) + "\n", encoding="utf-8")
    subwords("train", "--vocab", vocab, "--model", tmp_path / "m", *flags, tmp_path / "text")
    dictionary = Dictionary.load(str(tmp_path / "m.dict.txt"))
    assert len(dictionary) == vocab - 3 + 4 + 1 and dictionary.symbols[-1] == "<mask>"
    text = [*lines[:20], STRANGE] if "--lossless" in flags else lines[:20]
    if "--sample" in flags:  # a character outside the sample has no piece
        known = {*"".join(dictionary.symbols), " "}
        text = [line for line in lines if set(line) <= known]
        assert 300 < len(text) < 400
    coded = subwords("encode", "--model", tmp_path / "m.model", text="\n".join(text) + "\n")
    rows = [line.split() for line in coded.removesuffix("\n").split("\n")]
    assert len(rows) == len(text)
    assert not any(dictionary.index(piece) == dictionary.unk() for row in rows for piece in row)
    model = spm.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    for line, row in zip(text, rows):
        assert model.decode(row).split() == line.split()  # words; white space is not kept


def test_a_sample_is_the_same_every_time(tmp_path):
    lines = texts(400)[0]
    (tmp_path / "text").write_text("\n".join(lines) + "\n", encoding="utf-8")
    dictionaries = set()
    for name, count in (("a", 100), ("b", 100), ("c", 300)):
        flags = ("--vocab", 80, "--sample", count, "--model", tmp_path / name)
        subwords("train", *flags, tmp_path / "text")
        dictionaries.add((tmp_path / f"{name}.dict.txt").read_text())
    assert len(dictionaries) == 2, "a equals b, and c is another sample"
