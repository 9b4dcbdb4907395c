"""Classes of classifiers: their names go along, and what fairseq's task cannot be is refused."""

import json

import pytest

pytest.importorskip("tokenizers")

from test_huggingface_bad_input import edit_config, refused

import toy
from hf_folders import roberta
from lightpaff_fairseq.cli.main import main

KIND = "SequenceClassification"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"problem_type": "multi_label_classification"}, ["problem_type", "multi_label"]),
        ({"problem_type": "regression"}, ["problem_type", "of 3 outputs", "'regression'"]),
        ({"id2label": {"0": "good", "1": "good", "2": "bad"}}, ["id2label", "got 'good'"]),
        ({"id2label": {"0": "good", "1": "so\nso", "2": "<s>"}}, ["'so\\nso'", "'<s>'"]),
    ],
)
def test_classes_that_fairseq_cannot_have(values, words, tmp_path, capsys):
    folder = roberta(tmp_path / "hf", KIND, num_labels=3)
    edit_config(folder, **values)
    error = refused(capsys, "--from", "hf", folder, "--to", "fairseq", tmp_path / "out")
    assert error.count("\n") == 1 and all(word in error for word in words), error
    assert [x.name for x in tmp_path.iterdir()] == ["hf"]


def classes_after(tmp_path, names, outputs=3):
    """id2label after the way back, with a dictionary of other classes in between."""
    labels = {i: f"old{i}" for i in range(outputs)}
    folder = roberta(tmp_path / "hf", KIND, id2label=labels, label2id={})
    out = tmp_path / "out"
    assert main(["convert", "--from", "hf", str(folder), "--to", "fairseq", str(out)]) == 0
    (out / "label" / "dict.txt").write_text("".join(f"{name} 1\n" for name in names))
    argv = ["--from", "fairseq", str(out / "model.pt"), "--to", "hf", str(tmp_path / "back")]
    assert main(["convert", *argv]) == 0
    return json.loads((tmp_path / "back" / "config.json").read_text())


def test_a_model_tuned_to_other_classes_has_their_names(tmp_path):
    config = classes_after(tmp_path, ["bad", "so so", "good"])
    assert config["id2label"] == {"0": "bad", "1": "so so", "2": "good"}
    assert config["label2id"] == {"bad": 0, "so so": 1, "good": 2}


def test_a_student_has_the_names_of_its_task(tmp_path):
    data = toy.write_labeled(tmp_path / "data")
    (data / "label" / "dict.txt").write_text("bad 3\nsoso 2\ngood 1\n")
    flags = ["--arch", "roberta_tiny", "--task", "sentence_prediction", "--num-classes", 3]
    flags += ["--criterion", "sentence_prediction", "--init-token", 0, "--encoder-layers", 1]
    _, model, _ = toy.build(data, *flags)
    path = toy.save_model(tmp_path / "student.pt", toy.parse(data, *flags), model.eval())
    out = tmp_path / "hf"
    assert main(["convert", "--from", "fairseq", str(path), "--to", "hf", str(out)]) == 0
    config = json.loads((out / "config.json").read_text())
    assert config["id2label"] == {"0": "bad", "1": "soso", "2": "good"}
