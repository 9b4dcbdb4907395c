"""`lightpaff evaluate` for classifiers and regressions."""

import math

import pytest
import torch

from evaluated import LM, checkpoint, evaluate
from lightpaff_fairseq.cli.main import main
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


def naive_bayes(data):
    """Accuracy of the classifier, from its formula: counts plus one."""
    task, _, _ = build(data, *ROBERTA, "--num-classes", 2)
    (counts, classes), (tested, labels) = (
        (
            torch.stack([torch.bincount(x["net_input.src_tokens"], minlength=31) for x in split]),
            torch.tensor([int(x["target"]) for x in split]),
        )
        for split in (
            [dataset[i] for i in range(len(dataset))]
            for dataset in (task.load_dataset(name) for name in ("train", "valid"))
        )
    )
    per_class = torch.stack([counts[classes == c].sum(0) + 1 for c in (0, 1)]).double()
    prior = torch.stack([(classes == c).double().mean() for c in (0, 1)]).log()
    scores = tested.double() @ (per_class / per_class.sum(1, keepdim=True)).log().T + prior
    return round(100 * float((scores.argmax(1) == labels).double().mean()), 2)


@pytest.mark.slow
def test_classes_are_scored_as_one_by_one(tmp_path, capsys):
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
    assert rows[0]["naive_bayes"] == naive_bayes(data)
    assert "Naive Bayes on the counts" in capsys.readouterr().out
    tp, fp, fn, tn = count[1, 1], count[1, 0], count[0, 1], count[0, 0]
    assert min(tp, fp, fn, tn) > 0  # otherwise this tests little
    assert rows[0]["sentences"] == 70 == len(targets)
    assert rows[0]["accuracy"] == round(100 * (tp + tn) / 70, 2)
    assert rows[0]["f1"] == round(100 * 2 * tp / (2 * tp + fp + fn), 2)
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert rows[0]["mcc"] == round(100 * (tp * tn - fp * fn) / below, 2)


@pytest.mark.slow
def test_models_with_other_dictionaries_read_their_own_data(tmp_path, capsys):
    data, out = write_labeled(tmp_path / "data", count=30, classes=2), tmp_path / "trimmed"
    path = tmp_path / "m.pt"
    checkpoint(path, data, *ROBERTA, "--num-classes", 2)
    words = ["trim-vocab", "--path", path, "--data", data, "--keep", 30, "--out", out]
    assert main([str(word) for word in words]) == 0
    cut = tmp_path / "cut"
    words = ["trim-vocab", "--like", out, "--rebinarize", data, "--out", cut]
    assert main([str(word) for word in words]) == 0
    flags = ["--gen-subset", "valid", "--path", path, out / "model.pt", "--name", "all", "few"]
    flags += ["--data-of", f"few={cut}"]
    code, rows = evaluate("sentence_prediction", data, path, *flags)
    assert code == 0 and rows[1]["params"] < rows[0]["params"]
    assert rows[1]["accuracy"] == rows[0]["accuracy"]
    assert "Naive Bayes on the counts" in capsys.readouterr().out
    for path in (data / "label").glob("train.*"):  # there is nothing to learn from
        path.unlink()
    assert evaluate("sentence_prediction", data, tmp_path / "m.pt", *flags)[0] == 0
    assert "Naive Bayes" not in capsys.readouterr().out.partition("accuracy")[2]
    lines = (cut / "label" / "valid.label").read_text().splitlines()
    write_split(cut / "label" / "valid", [[4 + int(x) % 2, 2] for x in lines])
    capsys.readouterr()
    code, _ = evaluate("sentence_prediction", data, path, *flags)
    assert code == 2
    assert f"--data-of few={cut}: expected the 30 samples" in capsys.readouterr().err


@pytest.mark.slow
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
    row = score(Predictions([0, 0, 1, 2], [0, 1, 1, 2], ("a", "b", "1"), 1.0))
    assert row["accuracy"] == 75 and row["f1"] == round(100 * (2 / 3 + 2 / 3 + 1) / 3, 2)
    assert row["f1_of"] == "mean over classes"


def test_f1_does_not_become_another_one_when_a_class_is_never_predicted():
    """Of three classes two are predicted, or expected: still the mean over the split's classes."""
    row = score(Predictions([0, 0, 1, 1], [0, 1, 1, 2], ("0", "1", "2"), 1.0))
    assert row["f1"] == round(100 * (2 / 3 + 1 / 2 + 0) / 3, 2)
    row = score(Predictions([0, 0, 1, 1], [0, 1, 1, 1], ("0", "1", "2"), 1.0))
    assert row["f1"] == round(100 * (2 / 3 + 4 / 5) / 2, 2)


def test_f1_is_of_the_class_named_1_whatever_its_number():
    expected, predicted = [0, 0, 0, 1, 1], [0, 0, 1, 1, 0]
    named = {"0": 100 * 2 * 2 / (2 * 2 + 1 + 1), "1": 100 * 2 * 1 / (2 * 1 + 1 + 1)}
    for classes, name in ((("0", "1"), "1"), (("1", "0"), "0")):
        row = score(Predictions(predicted, expected, classes, 1.0))
        assert row["f1"] == round(named[name], 2) and row["f1_of"] == "of class 1"
    row = score(Predictions(predicted, expected, ("bad", "good"), 1.0))
    assert row["f1"] == round(sum(named.values()) / 2, 2) and row["f1_of"] == "mean over classes"


def test_the_frequent_class_1_has_its_f1(tmp_path, capsys):
    """As in MRPC: fairseq gives the most frequent label the number 0, and here that is label 1."""
    data = write_labeled(tmp_path / "data", count=70, classes=2)
    (data / "label" / "dict.txt").write_text("1 60\n0 40\n")
    flags = (*ROBERTA, "--num-classes", 2)
    model = checkpoint(tmp_path / "m.pt", data, *flags)
    code, rows = evaluate("sentence_prediction", data, tmp_path / "m.pt", "--gen-subset", "valid")
    outputs, targets = one_by_one(data, model, *flags)
    pairs = [("10"[int(output.argmax())], "10"[target]) for output, target in zip(outputs, targets)]
    tp, wrong = pairs.count(("1", "1")), pairs.count(("1", "0")) + pairs.count(("0", "1"))
    tn = pairs.count(("0", "0"))
    assert code == 0 and tp != tn and wrong
    assert rows[0]["f1"] == round(100 * 2 * tp / (2 * tp + wrong), 2)
    assert "70 sentences; F1 of class 1" in capsys.readouterr().out


def test_labels_in_another_order_than_in_training_are_refused(tmp_path, capsys):
    data, other = (write_labeled(tmp_path / x, count=9, classes=2) for x in ("data", "other"))
    (other / "label" / "dict.txt").write_text("1 60\n0 40\n")
    checkpoint(tmp_path / "m.pt", data, *ROBERTA, "--num-classes", 2)
    code, rows = evaluate("sentence_prediction", other, tmp_path / "m.pt", "--gen-subset", "valid")
    error = capsys.readouterr().err
    assert code == 2 and rows is None
    assert f"DATA {other}: expected the label dictionary that --path" in error
    assert "symbol 4 is '0' in the training data and '1' in the data here" in error


def test_fewer_labels_than_classes_and_labels_that_are_no_class_are_refused(tmp_path, capsys):
    data = write_labeled(tmp_path / "data", count=9, classes=3)
    checkpoint(tmp_path / "m.pt", data, *ROBERTA, "--num-classes", 2)
    argv = ("sentence_prediction", data, tmp_path / "m.pt", "--gen-subset", "valid")
    assert evaluate(*argv)[0] == 2
    assert "expected labels of the model's classes, got" in capsys.readouterr().err
    (data / "label" / "dict.txt").write_text("1 60\n")
    assert evaluate(*argv)[0] == 2
    assert "expected the model's 2 classes in label/dict.txt, got 1" in capsys.readouterr().err


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_model_of_another_task_is_refused(tmp_path, capsys):
    data = write_monolingual(tmp_path / "data")
    checkpoint(tmp_path / "m.pt", data, *LM)
    code, _ = evaluate("sentence_prediction", data, tmp_path / "m.pt")
    assert code == 2 and "got language_modeling" in capsys.readouterr().err
