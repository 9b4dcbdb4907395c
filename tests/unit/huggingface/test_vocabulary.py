"""Decide dictionaries: no token is lost or there twice, and classes keep their names."""

import json
from typing import Any

import pytest
from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode

pytest.importorskip("tokenizers")

import toy
from conversions import (
    check_refused,
    copy_of,
    edit_config,
    from_hf,
    order_of,
    read_json,
    save_student,
    to_hf,
)
from hf_folders import T, gpt2, roberta, save

pytestmark = pytest.mark.hf

KIND = "ForSequenceClassification"


def with_special(folder, **tokens):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **tokens}))
    return folder


def test_no_token_of_gpt2_is_lost_and_none_is_added(converted: Any) -> None:
    source, out = converted("gpt2")
    order = order_of(out)
    tokenizer = T.AutoTokenizer.from_pretrained(source)
    assert sorted(order.tolist()) == list(range(len(tokenizer)))
    raw = [tokenizer.convert_ids_to_tokens(int(order[i])) for i in (0, 1, 3)]
    letters = {token: byte for byte, token in bytes_to_unicode().items()}
    for token in raw:  # no UTF-8 text contains these bytes
        with pytest.raises(UnicodeDecodeError):
            (b"a" + bytes([letters[token]]) + b"\x80\x80\x80b").decode("utf-8")
        assert letters[token] in (0xC0, 0xC1, 0xF5)


def test_no_row_is_there_twice(tmp_path, capsys):
    folder = with_special(gpt2(tmp_path / "gpt2"), pad_token="!", unk_token="!", bos_token="!")
    assert sorted(order_of(from_hf(folder, tmp_path / "o")).tolist()) == list(range(300))
    (tmp_path / "roberta").mkdir()
    folder = with_special(roberta(tmp_path / "roberta" / "hf"), pad_token="</s>")
    check_refused(capsys, folder, "one token for <pad> and </s>")


def test_a_tokenizer_of_another_model(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    tokenizer = T.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["one", "two"])
    tokenizer.save_pretrained(folder)
    check_refused(capsys, folder, "vocab_size of 300 tokens, got 2 tokens beyond", "'one'")
    config = T.GPT2Config(vocab_size=900, n_embd=8, n_layer=1, n_head=2, n_positions=8)
    save(folder, T.GPT2LMHeadModel(config), T.AutoTokenizer.from_pretrained(source))
    check_refused(capsys, folder, "vocab_size", "900")


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
    check_refused(capsys, folder, *words)


@pytest.mark.slow
def test_a_model_tuned_to_other_classes_has_their_names(tmp_path):
    labels = {i: f"old{i}" for i in range(3)}
    folder = roberta(tmp_path / "hf", KIND, id2label=labels, label2id={})
    out = from_hf(folder, tmp_path / "out")
    (out / "label" / "dict.txt").write_text("bad 1\nso so 1\ngood 1\n")
    config = read_json(to_hf(out / "model.pt", tmp_path / "back"), "config.json")
    assert config["id2label"] == {"0": "bad", "1": "so so", "2": "good"}
    assert config["label2id"] == {"bad": 0, "so so": 1, "good": 2}


def test_a_student_has_the_names_of_its_task(tmp_path):
    data = toy.write_labeled(tmp_path / "data")
    (data / "label" / "dict.txt").write_text("bad 3\nsoso 2\ngood 1\n")
    flags = ["--arch", "roberta_tiny", "--task", "sentence_prediction", "--num-classes", 3]
    flags += ["--criterion", "sentence_prediction", "--init-token", 0, "--encoder-layers", 1]
    save_student(data, tmp_path / "student.pt", *flags)
    config = read_json(to_hf(tmp_path / "student.pt", tmp_path / "hf"), "config.json")
    assert config["id2label"] == {"0": "bad", "1": "soso", "2": "good"}
