"""`lightpaff evaluate` for language models: perplexity per token and per word."""

import math

import pytest
import torch

from evaluated import LM, checkpoint, evaluate
from lightpaff_fairseq.evaluation import perplexity
from lightpaff_fairseq.report.model_table import model_table
from lightpaff_fairseq.report.models import group_models
from toy import WORDS, sentences, write_monolingual


@pytest.mark.slow
def test_perplexity_per_token_and_word_are_of_the_whole_text(tmp_path, capsys):
    """One block holds the whole split, so its probability is one forward pass.

    The model as its own teacher is its own perfect draft, in table, rows and report.
    """
    data = write_monolingual(tmp_path / "data", count=20)
    model = checkpoint(tmp_path / "m.pt", data, *LM)
    lines = sentences(20, 1)  # the split valid
    text = tmp_path / "valid.txt"
    text.write_text("".join(" ".join("w" * (len(s) // 2 + 1)) + " \n" for s in lines))
    words = sum(len(s) // 2 + 1 for s in lines) + len(lines)
    flags = ("--gen-subset", "valid", "--references", text, "--tokens-per-sample", 512)
    flags += ("--teacher", tmp_path / "m.pt")
    code, rows = evaluate("language_modeling", data, tmp_path / "m.pt", *flags)
    assert code == 0
    tokens = torch.tensor([symbol for s in lines for symbol in s])
    with torch.no_grad():
        logits = model(torch.cat([tokens.new_tensor([2]), tokens[:-1]]).unsqueeze(0))[0][0]
    nats = torch.nn.functional.cross_entropy(logits.double(), tokens, reduction="sum").item()
    assert rows[0]["tokens"] == len(tokens) and rows[0]["words"] == words
    assert rows[0]["ppl_token"] == pytest.approx(math.exp(nats / len(tokens)), rel=1e-3)
    assert rows[0]["ppl_word"] == pytest.approx(math.exp(nats / words), rel=1e-3)
    assert rows[0]["draft_acceptance"] == rows[0]["argmax_agreement"] == 100
    assert rows[0]["kl_bits"] == 0 and rows[0]["ece"] == rows[0]["teacher_ece"] > 0
    assert "100.0 % |" in capsys.readouterr().out
    table = model_table(group_models(rows), ["m"], {})
    assert {"draft_acceptance", "argmax_agreement", "ece", "kl_bits"} <= set(table.keys)
    assert table.notes["teacher_ece"] == rows[0]["ece"] and "teacher" not in table.keys


def test_unknown_tokens_are_counted_and_text_must_fit(tmp_path, capsys):
    data = write_monolingual(tmp_path / "data", count=6)
    corpus = perplexity.read_corpus(data, "valid", None)
    assert corpus.words is None and corpus.unknown == 0
    assert corpus.tokens == sum(len(s) for s in sentences(6, 1, WORDS))
    (tmp_path / "short.txt").write_text("one line\n")
    checkpoint(tmp_path / "m.pt", data, *LM)
    flags = ("--gen-subset", "valid", "--references", tmp_path / "short.txt")
    code, _ = evaluate("language_modeling", data, tmp_path / "m.pt", *flags)
    assert code == 2 and "expected 6 lines, as in the split, got 1" in capsys.readouterr().err
