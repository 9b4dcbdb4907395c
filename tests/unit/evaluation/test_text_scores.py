"""BLEU, chrF and ROUGE against several references."""

import pytest

from lightpaff_fairseq.evaluation import text_scores


def test_several_references_count_for_every_metric():
    one, two = ["the cat sat on the mat"], ["a cat was sitting on a mat"]
    both = text_scores.score(one, [two, one], ["bleu"])
    assert both["bleu"] == 100 and "nrefs:2" in both["bleu_signature"]
    assert text_scores.score(one, [two], ["bleu"])["bleu"] < 100


def test_rouge_is_the_mean_over_references():
    pytest.importorskip("rouge_score")
    texts = ["a b c d", "x y"]
    row = text_scores.score(texts, [texts, ["a b", "x z"]], ["rouge1"])
    # reference 1: 1 and 1; reference 2: 2 * (2/4) * 1 / (2/4 + 1) = 2/3, and 1/2
    assert row["rouge1"] == round(100 * (1 + 1 + 2 / 3 + 1 / 2) / 4, 2)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(text_scores.importlib.util, "find_spec", lambda name: None)
    assert "pip install rouge-score" in text_scores.missing_package(["rougeL"])
    assert text_scores.missing_package(["bleu", "chrf"]) is None
