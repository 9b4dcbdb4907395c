"""Convert files of the released MASS form."""

import pickle

import pytest
import torch

import toy
from conversions import SMALL, TRANSLATION, Malicious, convert, load_fairseq, read_json, refusal
from mass_files import as_released, mass


@pytest.mark.slow
def test_a_released_mass_file(tmp_path):
    data = toy.write_parallel(tmp_path / "data")
    flags = ["--arch", "transformer_mass_tiny", *SMALL, *TRANSLATION]
    task, model, _ = toy.build(data, *flags)
    symbols = task.source_dictionary.symbols
    names = dict(zip(("<s>", "<pad>", "</s>", "<unk>"), ("[CLS]", "[PAD]", "[SEP]", "[UNK]")))
    names["<mask>"] = "[MASK]"
    pieces = ["[PAD]", *symbols[4:9], "[UNK]", "[CLS]", "[SEP]", "[MASK]", *symbols[9:-1]]
    rows = [pieces.index(names.get(s, s)) for s in symbols]
    torch.save(as_released(model, rows), tmp_path / "mass.pt")
    (tmp_path / "dict.txt").write_text("".join(f"{piece} 0\n" for piece in pieces))
    argv = ["--from", "mass", tmp_path / "mass.pt", "--to", "fairseq", tmp_path / "out"]
    convert(*argv, "--heads", 2, "--langs", "sv", "en")
    converted, task = load_fairseq(tmp_path / "out")
    order = torch.tensor([task.source_dictionary.index(s) for s in symbols])
    assert task.source_dictionary.index("[MASK]") == task.source_dictionary.unk()
    tokens = torch.tensor([[5, 9, 12, 2]])
    previous = torch.tensor([[2, 8, 7]])
    with torch.no_grad():
        before = model.eval()(tokens, torch.tensor([4]), previous)[0]
        after = converted(order[tokens], torch.tensor([4]), order[previous])[0]
    assert torch.allclose(before, after[..., order], atol=1e-5)
    assert (tmp_path / "out" / "vocab.txt").read_text().split("\n")[:-1] == pieces


def test_a_mass_file_that_does_not_fit_its_dictionary(tmp_path, capsys):
    def spoil(state):
        state["encoder.layers.0.more"] = torch.ones(1)
        del state["decoder.emb_layer_norm.bias"]
        return state

    argv, path = mass(tmp_path, spoil), tmp_path / "dict.txt"
    error = refusal(capsys, *argv)
    assert "encoder.layers.0.more" in error and "decoder.emb_layer_norm.bias" in error
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    assert "expected the 31 rows" in refusal(capsys, *argv)
    path.unlink()
    assert "dict.txt: no such file" in refusal(capsys, *argv)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_mass_file_in_half_precision_becomes_float32(tmp_path):
    argv = mass(tmp_path, lambda state: {name: x.half() for name, x in state.items()})
    convert(*argv, "--heads", 2)
    tensors = toy.checkpoint(tmp_path / "out" / "model.pt")["model"]
    assert {x.dtype for x in tensors.values()} == {torch.float32}


@pytest.mark.slow
def test_a_mass_file_with_a_weight_of_another_shape(tmp_path, capsys):
    name = "decoder.layers.0.fc2.weight"
    argv = mass(tmp_path, lambda state: {**state, name: torch.ones(3, 5)})
    error = refusal(capsys, *argv, "--heads", "2")
    assert error.startswith("lightpaff convert: error: --from mass ") and name in error


def test_a_mass_file_with_a_name_that_is_none(tmp_path, capsys):
    argv = mass(tmp_path, lambda state: {**state, 1: torch.ones(1)})
    assert "expected names and tensors alone" in refusal(capsys, *argv, "--heads", "2")


@pytest.mark.slow
def test_lines_of_a_mass_dictionary_end_where_fairseq_ends_them(tmp_path):
    argv = mass(tmp_path, last="a\x85b\u2028c")
    convert(*argv, "--heads", 2)
    assert read_json(tmp_path, "out", "encoding.json")["--bpe"] == "bert"
    text = (tmp_path / "out" / "dict.txt").read_text(encoding="utf-8")
    assert text.split("\n")[-2] == "a\x85b\u2028c 1"


def test_a_mass_file_that_runs_code(tmp_path, capsys):
    argv = mass(tmp_path)
    (tmp_path / "mass.pt").write_bytes(pickle.dumps(Malicious()))
    assert "refused" in refusal(capsys, *argv)
