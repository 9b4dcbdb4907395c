"""What quantization costs, and the subwords of a dictionary."""

import pytest

import toy
from lightpaff_fairseq.export.export_quality import Quality, subwords_of


def test_drops():
    assert Quality("BLEU", 30.0).drop_to(Quality("BLEU", 29.0)) == 1.0
    assert Quality("accuracy", 80.0).drop_to(Quality("accuracy", 81.0)) == -1.0
    assert Quality("ppl", 50.0).drop_to(Quality("ppl", 51.0)) == pytest.approx(2.0)


def test_subwords_are_recognised(tmp_path):
    dictionary = toy.write_dictionary(tmp_path / "dict.txt")
    assert subwords_of(dictionary) == "none"
    dictionary.add_symbol("ab@@")
    assert subwords_of(dictionary) == "subword_nmt"
    dictionary.add_symbol("\u2581a")
    assert subwords_of(dictionary) == "sentencepiece"
