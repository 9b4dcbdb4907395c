"""Files that others made: corrupt, foreign or dangerous ones are named, needless ones ignored."""

import json
import pickle

import pytest
import torch

pytest.importorskip("tokenizers")

from safetensors.torch import load_file, save_file
from test_huggingface_bad_input import Malicious, copy_of, edit_config, refused
from test_huggingface_students import SMALL, TRANSLATION, as_released

import toy
from hf_folders import MAKERS, gpt2
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.huggingface.hf_folder import load_tensors

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return gpt2(tmp_path_factory.mktemp("foreign") / "hf")


def as_bin(folder):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def pointer_to_bin(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(POINTER)


def danger_beside_a_foreign_file(folder):
    (folder / "model.safetensors").rename(folder / "adapter.safetensors")
    torch.save({"x": Malicious()}, folder / "pytorch_model.bin")


FOLDERS = {
    "cut": (cut, ["model.safetensors: corrupt"]),
    "pointer": (
        lambda folder: (folder / "model.safetensors").write_bytes(POINTER),
        ["model.safetensors: corrupt"],
    ),
    "pointer to bin": (pointer_to_bin, ["pytorch_model.bin: refused", "corrupt"]),
    "danger": (danger_beside_a_foreign_file, ["pytorch_model.bin: refused", "eval"]),
    "no number": (lambda folder: edit_config(folder, n_embd="abc"), ["config.json", "n_embd"]),
    "no heads": (lambda folder: edit_config(folder, n_head=0), ["cannot load it"]),
    "quantized": (
        lambda folder: edit_config(folder, quantization_config={"quant_method": "gptq", "bits": 4}),
        ["quantization_config: expected none"],
    ),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_bad_folders_are_refused_in_one_line(name, source, tmp_path, capsys):
    folder, (spoil, words) = copy_of(source, tmp_path / "hf"), FOLDERS[name]
    spoil(folder)
    error = refused(capsys, "--from", "hf", folder, "--to", "fairseq", tmp_path / "out")
    assert error.startswith(f"lightpaff convert: error: --from hf {folder}")
    assert error.count("\n") == 1 and all(word in error for word in words), error
    assert [x.name for x in tmp_path.iterdir()] == ["hf"]


def test_what_a_trainer_leaves_beside_the_weights_is_not_read(source, tmp_path):
    folder = copy_of(source, tmp_path / "hf")
    as_bin(folder)
    torch.save({"x": Malicious()}, folder / "training_args.bin")
    assert main(["convert", "--from", "hf", str(folder), "--to", "fairseq", f"{folder}.out"]) == 0


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "corrupt"),
        (b"hello", "corrupt"),
        (POINTER, "corrupt"),
        (bytes(range(256)) * 9, "corrupt"),
        *((pickle.dumps(Malicious(), protocol), "eval") for protocol in (0, 2, 3)),
        (pickle.dumps(Malicious(), 4), "another pickle"),
    ],
    ids=range(8),
)
def test_no_file_is_run_and_every_bad_one_is_named(content, word, tmp_path, capsys):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^--from mass .*x.pt: refused: .*{word}"):
        load_tensors(path, "--from mass")
    assert "code was run" not in capsys.readouterr().out


def mass(folder, change=lambda state: state, last="x26"):
    """A file of the released form, with its dictionary; `change`: of its tensors."""
    data = toy.write_parallel(folder / "data")
    _, model, _ = toy.build(data, "--arch", "transformer_mass_tiny", *SMALL, *TRANSLATION)
    torch.save(change(as_released(model, list(range(31)))), folder / "mass.pt")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"x{i}" for i in range(26)), last]
    (folder / "dict.txt").write_text("".join(f"{piece} 0\n" for piece in pieces), encoding="utf-8")
    return ["--from", "mass", str(folder / "mass.pt"), "--to", "fairseq", str(folder / "out")]


def test_a_mass_file_in_half_precision_becomes_float32(tmp_path):
    argv = mass(tmp_path, lambda state: {name: x.half() for name, x in state.items()})
    assert main(["convert", *argv, "--heads", "2"]) == 0
    tensors = toy.checkpoint(tmp_path / "out" / "model.pt")["model"]
    assert {x.dtype for x in tensors.values()} == {torch.float32}


def test_a_mass_file_with_a_weight_of_another_shape(tmp_path, capsys):
    name = "decoder.layers.0.fc2.weight"
    argv = mass(tmp_path, lambda state: {**state, name: torch.ones(3, 5)})
    error = refused(capsys, *argv, "--heads", "2")
    assert error.startswith("lightpaff convert: error: --from mass ") and name in error


def test_what_only_fairseq_finds_names_the_folder_too(tmp_path, capsys):
    folder = MAKERS["marian"](tmp_path / "hf")
    state = load_file(folder / "model.safetensors")
    last = "model.decoder.layers.2.final_layer_norm.weight"  # the bias cannot be folded into zeros
    save_file(
        {**state, last: torch.zeros_like(state[last])},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    error = refused(capsys, "--from", "hf", folder, "--to", "fairseq", tmp_path / "out")
    assert error.startswith(f"lightpaff convert: error: --from hf {folder}: {last}: expected gains")


def test_a_mass_file_with_a_name_that_is_none(tmp_path, capsys):
    argv = mass(tmp_path, lambda state: {**state, 1: torch.ones(1)})
    assert "expected names and tensors alone" in refused(capsys, *argv, "--heads", "2")


def test_lines_of_a_mass_dictionary_end_where_fairseq_ends_them(tmp_path):
    argv = mass(tmp_path, last="a\x85b\u2028c")
    assert main(["convert", *argv, "--heads", "2"]) == 0
    record = json.loads((tmp_path / "out" / "encoding.json").read_text())
    assert record["--bpe"] == "bert"
    text = (tmp_path / "out" / "dict.txt").read_text(encoding="utf-8")
    assert text.split("\n")[-2] == "a\x85b\u2028c 1"
