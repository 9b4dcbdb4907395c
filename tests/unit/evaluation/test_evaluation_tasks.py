"""`lightpaff evaluate` for classifiers, regressions, language models and summaries."""

import json
import math

import pytest
import torch
from fairseq import tasks

from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.evaluation import perplexity, text_scores
from lightpaff_fairseq.evaluation.classification import Predictions, score
from toy import (
    WORDS,
    build,
    parse,
    save_model,
    sentences,
    train,
    write_labeled,
    write_monolingual,
    write_parallel,
    write_split,
)

ROBERTA = ("--task", "sentence_prediction", "--criterion", "kd_lu", "--kd-lambda", 0, "--arch",
           "roberta_tiny", "--encoder-layers", 1, "--encoder-embed-dim", 8, "--max-positions", 32,
           "--encoder-ffn-embed-dim", 8, "--encoder-attention-heads", 2)  # fmt: skip
LM = ("--task", "language_modeling", "--criterion", "kd_lm", "--kd-lambda", 0, "--arch",
      "transformer_lm_gpt2_micro", "--decoder-layers", 1, "--decoder-embed-dim", 8,
      "--decoder-ffn-embed-dim", 8, "--decoder-attention-heads", 2,
      "--tokens-per-sample", 512, "--max-target-positions", 512)  # fmt: skip


def checkpoint(path, data, *flags):
    """An untrained model's stripped checkpoint, and the model."""
    cfg = parse(data, *flags)
    task = tasks.setup_task(cfg.task)
    torch.manual_seed(4)
    model = task.build_model(cfg.model)
    for parameter in model.parameters():  # an untrained model gives every sentence one class
        torch.nn.init.normal_(parameter, std=0.8)
    save_model(path.with_suffix(".full.pt"), cfg, model)
    assert main(["strip", "--path", str(path.with_suffix(".full.pt")), "--out", str(path)]) == 0
    return model.eval()


def evaluate(task, data, path, *flags):
    out = path.with_suffix(".json")
    argv = ["evaluate", data, "--task", task, "--path", path, "--out", out, "--repeats", 1, *flags]
    code = main([str(arg) for arg in argv])
    return code, json.loads(out.read_text()) if out.exists() else None


@torch.no_grad()
def one_by_one(data, model, *flags):
    """Outputs and labels of the split valid, every sentence alone and unpadded."""
    task, _, _ = build(data, *flags)
    dataset = task.load_dataset("valid")
    outputs, targets = [], []
    for i in range(len(dataset)):
        sample = dataset.collater([dataset[i]])
        name = {"classification_head_name": "sentence_classification_head"}
        outputs.append(model(**sample["net_input"], features_only=True, **name)[0][0])
        targets.append(sample["target"].view(-1)[0].item())
    return outputs, targets


def test_classes_are_scored_as_one_by_one(tmp_path):
    data = write_labeled(tmp_path / "data", count=70, classes=2)  # more than one batch
    flags = (*ROBERTA, "--num-classes", 2)
    model = checkpoint(tmp_path / "m.pt", data, *flags)
    code, rows = evaluate("sentence_prediction", data, tmp_path / "m.pt", "--gen-subset", "valid")
    assert code == 0
    outputs, targets = one_by_one(data, model, *flags)
    guesses = [int(output.argmax()) for output in outputs]
    count = {
        (g, t): sum((g, t) == pair for pair in zip(guesses, targets))
        for g in (0, 1)
        for t in (0, 1)
    }
    tp, fp, fn, tn = count[1, 1], count[1, 0], count[0, 1], count[0, 0]
    assert min(tp, fp, fn, tn) > 0  # otherwise this tests little
    assert rows[0]["sentences"] == 70 == len(targets)
    assert rows[0]["accuracy"] == round(100 * (tp + tn) / 70, 2)
    assert rows[0]["f1"] == round(100 * 2 * tp / (2 * tp + fp + fn), 2)
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert rows[0]["mcc"] == round(100 * (tp * tn - fp * fn) / below, 2)


def test_a_regression_has_correlations(tmp_path, capsys):
    data = write_labeled(tmp_path / "data", count=20)
    flags = (*ROBERTA, "--num-classes", 1, "--regression-target")
    model = checkpoint(tmp_path / "m.pt", data, *flags)
    code, rows = evaluate("sentence_prediction", data, tmp_path / "m.pt", "--gen-subset", "valid")
    assert code == 0 and "Pearson" in capsys.readouterr().out and "accuracy" not in rows[0]
    outputs, targets = one_by_one(data, model, *flags)
    pair = torch.tensor([[float(output) for output in outputs], targets])
    assert rows[0]["pearson"] == pytest.approx(100 * torch.corrcoef(pair)[0, 1].item(), abs=0.01)


def test_f1_of_three_classes_is_the_mean_over_classes():
    row = score(Predictions([0, 0, 1, 2], [0, 1, 1, 2], False, 1.0))
    assert row["accuracy"] == 75 and row["f1"] == round(100 * (2 / 3 + 2 / 3 + 1) / 3, 2)


@pytest.mark.parametrize(("split", "words"), [("dev", "--gen-subset dev"), ("bare", "labels")])
def test_a_split_that_is_missing_or_unlabeled_is_refused(tmp_path, split, words, capsys):
    data = write_labeled(tmp_path / "data", count=5)
    for end in ("bin", "idx"):
        (data / "input0" / f"bare.{end}").write_bytes(
            (data / "input0" / f"valid.{end}").read_bytes()
        )
    checkpoint(tmp_path / "m.pt", data, *ROBERTA, "--num-classes", 3)
    code, rows = evaluate("sentence_prediction", data, tmp_path / "m.pt", "--gen-subset", split)
    assert code == 2 and rows is None and words in capsys.readouterr().err


def test_sentences_longer_than_the_model_takes_are_refused(tmp_path, capsys):
    data = write_labeled(tmp_path / "data", count=5)
    checkpoint(tmp_path / "m.pt", data, *ROBERTA, "--num-classes", 3)
    texts = [*sentences(4, seed=1), [*[5] * 40, 2]]
    write_split(data / "input0" / "valid", texts)
    code, rows = evaluate("sentence_prediction", data, tmp_path / "m.pt", "--gen-subset", "valid")
    error = capsys.readouterr().err
    assert code == 2 and rows is None
    assert "expected sentences of at most 32 symbols" in error and "has one of 41" in error


def test_a_model_of_another_task_is_refused(tmp_path, capsys):
    data = write_monolingual(tmp_path / "data")
    checkpoint(tmp_path / "m.pt", data, *LM)
    code, _ = evaluate("sentence_prediction", data, tmp_path / "m.pt")
    assert code == 2 and "found language_modeling" in capsys.readouterr().err


def test_perplexity_per_token_and_word_are_of_the_whole_text(tmp_path):
    """One block holds the whole split, so its probability is one forward pass."""
    data = write_monolingual(tmp_path / "data", count=20)
    model = checkpoint(tmp_path / "m.pt", data, *LM)
    lines = sentences(20, 1)  # the split valid
    text = tmp_path / "valid.txt"
    text.write_text("".join(" ".join("w" * (len(s) // 2 + 1)) + " \n" for s in lines))
    words = sum(len(s) // 2 + 1 for s in lines) + len(lines)
    flags = ("--gen-subset", "valid", "--references", text, "--tokens-per-sample", 512)
    code, rows = evaluate("language_modeling", data, tmp_path / "m.pt", *flags)
    assert code == 0
    tokens = torch.tensor([symbol for s in lines for symbol in s])
    with torch.no_grad():
        logits = model(torch.cat([tokens.new_tensor([2]), tokens[:-1]]).unsqueeze(0))[0][0]
    nats = torch.nn.functional.cross_entropy(logits.double(), tokens, reduction="sum").item()
    assert rows[0]["tokens"] == len(tokens) and rows[0]["words"] == words
    assert rows[0]["ppl_token"] == pytest.approx(math.exp(nats / len(tokens)), rel=1e-3)
    assert rows[0]["ppl_word"] == pytest.approx(math.exp(nats / words), rel=1e-3)


def test_unknown_tokens_are_counted_and_text_must_fit(tmp_path, capsys):
    data = write_monolingual(tmp_path / "data", count=6)
    corpus = perplexity.read_corpus(data, "valid", None)
    assert corpus.words is None and corpus.unknown == 0
    assert corpus.tokens == sum(len(s) for s in sentences(6, 1, WORDS))
    (tmp_path / "short.txt").write_text("one line\n")
    checkpoint(tmp_path / "m.pt", data, *LM)
    flags = ("--gen-subset", "valid", "--references", tmp_path / "short.txt")
    code, _ = evaluate("language_modeling", data, tmp_path / "m.pt", *flags)
    assert code == 2 and "expected 6 lines, as the split has, found 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--task", "translation"], "--references: expected a text file"),
        (["--task", "language_modeling", "--compare", "m", "m"], "--compare: expected --task"),
        (["--task", "language_modeling", "--tokens-per-sample", "0"], "--tokens-per-sample"),
        (["--task", "language_modeling", "--references", "a", "b"], "found 2"),
    ],
)
def test_flags_that_do_not_fit_the_task_are_refused(tmp_path, flags, words, capsys):
    (tmp_path / "m.pt").touch()
    assert main(["evaluate", str(tmp_path), "--path", str(tmp_path / "m.pt"), *flags]) == 2
    assert words in capsys.readouterr().err


def test_a_training_checkpoint_is_to_be_stripped_first(tmp_path, capsys):
    """It holds a Namespace, which torch loads with the plug-in alone."""
    flags = ("--task", "translation", "--arch", "transformer", "--encoder-layers", 1)
    flags += ("--decoder-layers", 1, "--encoder-embed-dim", 8, "--decoder-embed-dim", 8)
    data = write_parallel(tmp_path / "data", count=5)
    argv = (data, *flags, "--max-tokens", 99, "--max-update", 1, "--disable-validation")
    train(*argv, "--save-dir", tmp_path / "save")
    (tmp_path / "ref").write_text("w1 w2\n" * 5)
    words = ["evaluate", data, "--path", tmp_path / "save" / "checkpoint_last.pt"]
    words += ["--references", tmp_path / "ref", "--repeats", 1, "--generate-flags", "--beam 1"]
    assert main([str(word) for word in words]) == 2
    assert "lightpaff strip makes a stock one of it" in capsys.readouterr().err


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
    with pytest.raises(ValueError, match="pip install rouge-score"):
        text_scores.check_metrics(["rougeL"])
    text_scores.check_metrics(["bleu", "chrf"])
