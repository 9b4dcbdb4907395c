"""`lightpaff evaluate` for classifiers and regressions."""

import math

import pytest
import torch

from evaluated import LM, checkpoint, evaluate
from lightpaff_fairseq.evaluation.classification import Predictions, score
from toy import build, sentences, write_labeled, write_monolingual, write_split

ROBERTA = ("--task", "sentence_prediction", "--criterion", "kd_lu", "--kd-lambda", 0, "--arch",
           "roberta_tiny", "--encoder-layers", 1, "--encoder-embed-dim", 8, "--max-positions", 32,
           "--encoder-ffn-embed-dim", 8, "--encoder-attention-heads", 2)  # fmt: skip


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
    assert "expected sentences of at most 32 tokens" in error and "got one of 41" in error


def test_a_model_of_another_task_is_refused(tmp_path, capsys):
    data = write_monolingual(tmp_path / "data")
    checkpoint(tmp_path / "m.pt", data, *LM)
    code, _ = evaluate("sentence_prediction", data, tmp_path / "m.pt")
    assert code == 2 and "got language_modeling" in capsys.readouterr().err
