"""Read files that others made: corrupt or dangerous ones are named, needless ones ignored."""

import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("tokenizers")

from conversions import Malicious, check_refused, copy_of, edit_config, from_hf
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.huggingface.hf_weights import load_tensors

pytestmark = pytest.mark.hf

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"


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
    "no heads": (lambda folder: edit_config(folder, n_head=0), ["n_head: expected"]),
    "quantized": (
        lambda folder: edit_config(folder, quantization_config={"quant_method": "gptq", "bits": 4}),
        ["quantization_config: expected none"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_bad_folders_are_refused_in_one_line(name, source, tmp_path, capsys):
    folder, (spoil, words) = copy_of(source, tmp_path / "hf"), FOLDERS[name]
    spoil(folder)
    error = check_refused(capsys, folder, *words)
    assert error.startswith(f"lightpaff convert: error: --from hf {folder}")


@pytest.mark.slow
def test_what_a_trainer_leaves_beside_the_weights_is_not_read(source, tmp_path):
    folder = copy_of(source, tmp_path / "hf")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    torch.save({"x": Malicious()}, folder / "training_args.bin")
    assert (from_hf(folder, tmp_path / "out") / "model.pt").is_file()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "corrupt: it is empty"),
        (b"hello", "refused: .*corrupt"),
        (POINTER, "refused: .*corrupt"),
        (bytes(range(256)) * 9, "refused: .*corrupt"),
        *((pickle.dumps(Malicious(), protocol), "refused: .*eval") for protocol in (0, 2, 3)),
        (pickle.dumps(Malicious(), 4), "refused: .*another pickle"),
    ],
    ids=range(8),
)
def test_no_file_is_run_and_every_bad_one_is_named(content, word, tmp_path, capsys):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^--from mass .*x.pt: {word}"):
        load_tensors(path, "--from mass")
    assert "code was run" not in capsys.readouterr().out


def test_weights_missing_left_over_and_of_another_shape(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    state = load_file(folder / "model.safetensors")
    del state["transformer.h.0.ln_1.weight"]
    state["transformer.h.0.extra.weight"] = torch.ones(2)
    state["transformer.ln_f.weight"] = torch.ones(5)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    words = ("transformer.h.0.ln_1.weight", "h.0.extra.weight", "transformer.ln_f.weight")
    check_refused(capsys, folder, *words)


def test_no_weights_no_config_no_tokenizer(source, tmp_path, capsys):
    check_refused(capsys, tmp_path / "none", "no such folder")
    empty = tmp_path / "empty"
    empty.mkdir()
    check_refused(capsys, empty, "no config.json")
    folder = copy_of(source, tmp_path / "hf")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    check_refused(capsys, folder, "vocab_size", "got none of <s>, <pad>, <unk>")
    (folder / "model.safetensors").unlink()
    check_refused(capsys, folder, "pytorch_model.bin")


ODD = ("abc", -1, 1.5, [], [1], {}, True, 10**30)


@pytest.mark.slow
def test_any_kind_of_value_in_a_configuration(source, tmp_path, capsys):
    """Refused in one line, or of no consequence."""
    folder, seen = copy_of(source, tmp_path / "hf"), {"refused": 0, "converted": 0}
    text = (folder / "config.json").read_text()
    for key in ("n_embd", "n_head", "n_layer", "n_positions", "vocab_size", "architectures"):
        for value in (*ODD, None):
            edit_config(folder, **{key: value})
            argv = ("--from", "hf", folder, "--to", "fairseq", tmp_path / "out", "--force")
            code = main(["convert", *map(str, argv)])
            error = capsys.readouterr().err
            assert (code, error.count("\n")) in ((0, 0), (2, 1)), (key, value, error)
            seen["refused" if code else "converted"] += 1
            (folder / "config.json").write_text(text)
    assert seen["refused"] > 40, seen


def test_deep_nesting_in_a_configuration(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    (folder / "config.json").write_text('{"a":' * 100_000)
    check_refused(capsys, folder, "config.json: corrupt: nested deeper than")
