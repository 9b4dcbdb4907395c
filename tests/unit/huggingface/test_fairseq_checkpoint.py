"""Read fairseq checkpoints that do not fit their dictionaries, their record or themselves."""

import pytest
import torch

pytest.importorskip("tokenizers")

from conversions import changed, from_hf, refusal
from hf_folders import roberta

pytestmark = pytest.mark.hf


RECORD = '{"model_type": "%s", "architecture": "%s", "dtype": "%s", "order": %s}'


def refused_back(capsys, path, data):
    out = path.with_name("back")
    error = refusal(capsys, "--from", "fairseq", path, "--data", data, "--to", "hf", out)
    assert not out.exists()
    return error


@pytest.mark.slow
def test_a_weight_of_another_shape(tmp_path, capsys):
    def reshape(state):
        state["model"]["decoder.layers.0.fc1.weight"] = torch.ones(3, 5)

    path, data = changed(tmp_path, "gpt2", reshape)
    error = refusal(
        capsys, "--from", "fairseq", path, "--data", data, "--to", "hf", tmp_path / "back"
    )
    assert f"--from fairseq {path}: " in error
    assert "decoder.layers.0.fc1.weight (expected (128, 32), got (3, 5))" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "Expecting"),
        ("[" * 100_000, "nested deeper"),
        ("[]", "expected an object"),
        ('{"order": []}', "model_type: missing"),
        (RECORD % ("gpt2", "GPT2LMHeadModel", "float8", "[1, 0, 2]"), "dtype: expected one of"),
        (RECORD % ("gpt3", "GPT2LMHeadModel", "float32", "[1, 0, 2]"), "no class of the model"),
        (RECORD % ("gpt2", "GPT2Tokenizer", "float32", "[1, 0, 2]"), "no class of the model type"),
        (RECORD % ("gpt2", "GPT2LMHeadModel", "float32", "[1, 1]"), "order: expected different"),
        (RECORD % ("gpt2", "GPT2LMHeadModel", "float32", "[-1, 1]"), "order: expected different"),
        (RECORD % ("gpt2", "GPT2LMHeadModel", "float32", '["a"]'), "order[0]: expected an integer"),
    ],
)
def test_a_corrupt_record(text, word, tmp_path, capsys):
    path, data = changed(tmp_path, "gpt2", lambda state: None)
    (data / "huggingface" / "lightpaff.json").write_text(text)
    error = refusal(
        capsys, "--from", "fairseq", path, "--data", data, "--to", "hf", tmp_path / "back"
    )
    assert "lightpaff.json: corrupt" in error and word in error


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "roberta", "bart"])
def test_a_dictionary_of_another_size(family, tmp_path, capsys):
    path, data = changed(tmp_path, family, lambda state: None)
    for name in ("dict.txt", "dict.source.txt", "dict.target.txt"):
        (data / name).write_text("a 1\n<mask> 1\n")
    (data / "huggingface" / "lightpaff.json").unlink()
    error = refusal(
        capsys, "--from", "fairseq", path, "--data", data, "--to", "hf", tmp_path / "back"
    )
    assert f"--data {data}: expected 30" in error and f"{path} says, got 6" in error


@pytest.mark.slow
def test_dictionaries_that_are_not_there(tmp_path, capsys):
    out = from_hf(roberta(tmp_path / "hf"), tmp_path / "out")
    (tmp_path / "model.pt").write_bytes((out / "model.pt").read_bytes())
    for path in sorted(out.glob("*.txt")):
        path.unlink()
    argv = ("--from", "fairseq", tmp_path / "model.pt", "--to", "hf", tmp_path / "back")
    assert "--data" in refusal(capsys, *argv)
    assert not (tmp_path / "back").exists()


def test_a_dictionary_in_another_order_than_in_training(tmp_path, capsys):
    path, out = changed(tmp_path, "roberta", lambda state: None)
    other = tmp_path / "other"
    other.mkdir()
    lines = (out / "dict.txt").read_text().splitlines(keepends=True)
    (other / "dict.txt").write_text("".join([lines[1], lines[0], *lines[2:]]))
    error = refused_back(capsys, path, other)
    assert f"--data {other}: expected the source dictionary that --from fairseq {path}" in error
    assert "symbol 4 is" in error
