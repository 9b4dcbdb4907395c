"""Models that came from Hugging Face, changed in between, and files that are corrupt."""

import json

import pytest
import torch

pytest.importorskip("tokenizers")

from test_huggingface_bad_input import refused

import toy
from hf_folders import MAKERS
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.huggingface import hf_parity

TABLES = {  # of positions, with the option that says how many
    "roberta": {"encoder.sentence_encoder.embed_positions.weight": "max_positions"},
    "gpt2": {"decoder.embed_positions.weight": "max_target_positions"},
    "bart": {
        "encoder.embed_positions.weight": "max_source_positions",
        "decoder.embed_positions.weight": "max_target_positions",
    },
}


def changed(tmp_path, family, change):
    """(checkpoint, its folder): converted, then changed."""
    source, out = MAKERS[family](tmp_path / "hf"), tmp_path / "out"
    assert main(["convert", "--from", "hf", str(source), "--to", "fairseq", str(out)]) == 0
    state = toy.checkpoint(out / "model.pt")
    change(state)
    torch.save(state, tmp_path / "changed.pt")
    return tmp_path / "changed.pt", out


def back(path, data, out):
    return ("--from", "fairseq", str(path), "--data", str(data), "--to", "hf", str(out))


@pytest.mark.parametrize("family", TABLES)
def test_a_model_of_fewer_positions_says_so(family, tmp_path):
    def cut(state):
        for name, key in TABLES[family].items():
            state["model"][name] = state["model"][name][:22].clone()
            state["cfg"]["model"][key] = 20

    path, data = changed(tmp_path, family, cut)
    assert main(["convert", *back(path, data, tmp_path / "back")]) == 0
    assert hf_parity.largest_difference(path, data, tmp_path / "back") <= 1e-4
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    key = "n_positions" if family == "gpt2" else "max_position_embeddings"
    assert config[key] == (22 if family == "roberta" else 20)  # RoBERTa's count begins with <pad>


def test_a_head_that_is_not_tied_any_more(tmp_path):
    def untie(state):
        name = "decoder.output_projection.weight"
        state["model"][name] = state["model"][name] + 1
        state["cfg"]["model"]["share_decoder_input_output_embed"] = False

    path, data = changed(tmp_path, "gpt2", untie)
    assert main(["convert", *back(path, data, tmp_path / "back")]) == 0
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["tie_word_embeddings"] is False


def test_a_weight_of_another_shape(tmp_path, capsys):
    def reshape(state):
        state["model"]["decoder.layers.0.fc1.weight"] = torch.ones(3, 5)

    path, data = changed(tmp_path, "gpt2", reshape)
    error = refused(capsys, *back(path, data, tmp_path / "back"))
    assert f"--from fairseq {path}: " in error
    assert "decoder.layers.0.fc1.weight (expected (128, 32), got (3, 5))" in error
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize(("text", "word"), [("{", "Expecting"), ('{"order": []}', "model_type")])
def test_a_corrupt_record(text, word, tmp_path, capsys):
    path, data = changed(tmp_path, "gpt2", lambda state: None)
    (data / "huggingface" / "lightpaff.json").write_text(text)
    error = refused(capsys, *back(path, data, tmp_path / "back"))
    assert "lightpaff.json is corrupt" in error and word in error


@pytest.mark.parametrize("family", ["gpt2", "roberta", "bart"])
def test_a_dictionary_of_another_size(family, tmp_path, capsys):
    path, data = changed(tmp_path, family, lambda state: None)
    for name in ("dict.txt", "dict.source.txt", "dict.target.txt"):
        (data / name).write_text("a 1\n<mask> 1\n")
    (data / "huggingface" / "lightpaff.json").unlink()
    error = refused(capsys, *back(path, data, tmp_path / "back"))
    assert f"--data {data}: expected 30" in error and f"{path} says, got 6" in error
