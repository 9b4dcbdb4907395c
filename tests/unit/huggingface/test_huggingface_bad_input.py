"""What `lightpaff convert` refuses, all at once, without leaving anything behind."""

import json
import pickle
from pathlib import Path

import pytest
import torch

pytest.importorskip("tokenizers")

from safetensors.torch import load_file, save_file

import toy
from hf_folders import T, bart, bert, gpt2, marian, roberta, save
from lightpaff_fairseq.cli.main import main


class Malicious:
    def __reduce__(self):
        return (eval, ("print('code was run')",))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return gpt2(tmp_path_factory.mktemp("bad") / "hf")


def copy_of(source, folder):
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def edit_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refused(capsys, *argv):
    """The message of a refusal; nothing but what was there before is there after it."""
    assert main(["convert", *map(str, argv)]) == 2
    return capsys.readouterr().err


def check(capsys, folder, out, *words, more=()):
    error = refused(capsys, "--from", "hf", folder, "--to", "fairseq", out, *more)
    assert error.count("\n") == 1
    for word in words:
        assert word in error, error
    assert sorted(p.name for p in out.parent.iterdir() if out.name in p.name) == []


def test_all_options_that_fairseq_lacks_are_named_at_once(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    edit_config(folder, activation_function="mish", scale_attn_by_inverse_layer_idx=True)
    edit_config(folder, layer_norm_epsilon=1e-6)
    words = ("mish", "scale_attn_by_inverse_layer_idx", "layer_norm_epsilon", "1e-06")
    check(capsys, folder, tmp_path / "out", *words)


def test_other_families_and_heads(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    edit_config(folder, model_type="t5")
    check(capsys, folder, tmp_path / "out", "model_type", "'t5'", "xlm-roberta")
    edit_config(folder, model_type="gpt2", architectures=["GPT2ForSequenceClassification"])
    check(capsys, folder, tmp_path / "out", "GPT2LMHeadModel", "GPT2ForSequenceClassification")


def test_weights_missing_left_over_and_of_another_shape(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    state = load_file(folder / "model.safetensors")
    del state["transformer.h.0.ln_1.weight"]
    state["transformer.h.0.extra.weight"] = torch.ones(2)
    state["transformer.ln_f.weight"] = torch.ones(5)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    words = ("transformer.h.0.ln_1.weight", "h.0.extra.weight", "transformer.ln_f.weight")
    check(capsys, folder, tmp_path / "out", *words)


def test_no_weights_no_config_no_tokenizer(source, tmp_path, capsys):
    check(capsys, tmp_path / "none", tmp_path / "out", "no such folder")
    empty = tmp_path / "empty"
    empty.mkdir()
    check(capsys, empty, tmp_path / "out", "no config.json")
    folder = copy_of(source, tmp_path / "hf")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    check(capsys, folder, tmp_path / "out", "vocab_size", "no counterpart of <s>, <pad>, <unk>")
    (folder / "model.safetensors").unlink()
    check(capsys, folder, tmp_path / "out", "pytorch_model.bin")


def test_a_pickle_that_runs_code_is_named_and_not_run(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    (folder / "model.safetensors").unlink()
    torch.save({"x": Malicious()}, folder / "pytorch_model.bin")
    check(capsys, folder, tmp_path / "out", "pytorch_model.bin", "refused", "eval")
    (tmp_path / "mass.pt").write_bytes(pickle.dumps(Malicious()))
    error = refused(
        capsys, "--from", "mass", tmp_path / "mass.pt", "--to", "fairseq", tmp_path / "o"
    )
    assert "refused" in error
    assert "code was run" not in capsys.readouterr().out


def test_ordinary_bin_files_are_read(source, tmp_path):
    folder = copy_of(source, tmp_path / "hf")
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert (
        main(["convert", "--from", "hf", str(folder), "--to", "fairseq", str(tmp_path / "o")]) == 0
    )


def test_a_tokenizer_of_another_model(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    tokenizer = T.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["one", "two"])
    tokenizer.save_pretrained(folder)
    check(capsys, folder, tmp_path / "out", "2 tokens beyond the model's table", "'one'")
    config = T.GPT2Config(vocab_size=900, n_embd=8, n_layer=1, n_head=2, n_positions=8)
    save(folder, T.GPT2LMHeadModel(config), T.AutoTokenizer.from_pretrained(source))
    check(capsys, folder, tmp_path / "out", "vocab_size", "900")


def test_a_tokenizer_that_splits_otherwise(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    state = json.loads((folder / "tokenizer.json").read_text())
    state["pre_tokenizer"] = {"type": "Whitespace"}
    state["normalizer"] = {"type": "Lowercase"}
    (folder / "tokenizer.json").write_text(json.dumps(state))
    check(capsys, folder, tmp_path / "out", "Whitespace", "Lowercase", "--bpe gpt2")


def test_segments_are_refused_unless_asked_for(tmp_path, capsys):
    folder = bert(tmp_path / "hf")
    check(capsys, folder, tmp_path / "out", "--segment 0", "sentence pairs")
    check(capsys, folder, tmp_path / "out", "--segment", "0 to 1", more=("--segment", "2"))


def test_a_bias_of_logits_that_cannot_be_folded(tmp_path, capsys):
    folder = bart(tmp_path / "hf")
    state = load_file(folder / "model.safetensors")
    state["final_logits_bias"] = torch.zeros(1, 300)
    state["final_logits_bias"][0, 7] = 1
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    check(capsys, folder, tmp_path / "out", "final_logits_bias", "zeros")


def test_an_existing_folder_stays_unless_forced(source, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("precious")
    argv = ("--from", "hf", source, "--to", "fairseq", out)
    assert "--force" in refused(capsys, *argv)
    assert "only what this command wrote" in refused(capsys, *argv, "--force")
    assert (out / "mine").read_text() == "precious"
    (out / "mine").unlink()
    assert main(["convert", *map(str, argv)]) == 0
    before = sorted(p.name for p in out.iterdir())
    assert main(["convert", *map(str, argv), "--force"]) == 0
    assert sorted(p.name for p in out.iterdir()) == before
    assert "expected another folder" in refused(
        capsys, "--from", "hf", source, "--to", "fairseq", source.parent, "--force"
    )


def test_directions(source, tmp_path, capsys):
    error = refused(capsys, "--from", "hf", source, "--to", "hf", tmp_path / "out")
    assert "--from fairseq --to hf" in error


def test_flags_that_would_have_no_effect(source, tmp_path, capsys):
    more = ("--heads", 3, "--dict", tmp_path / "no", "--data", tmp_path)
    words = ("--heads: expected with --from mass, got --from hf", "--dict:", "--data:")
    check(capsys, source, tmp_path / "out", *words, more=more)
    argv = ("--from", "fairseq", tmp_path / "no.pt", "--to", "hf", tmp_path / "out")
    error = refused(capsys, *argv, "--segment", 0, "--langs", "a", "b")
    assert "--segment: expected with --from hf" in error and "hf or mass, got" in error
    check(capsys, source, tmp_path / "out", "'../a'", more=("--langs", "../a", "b"))


def test_a_failed_comparison_leaves_nothing(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "lightpaff_fairseq.huggingface.hf_parity.largest_logit_difference", lambda *_: 0.5
    )
    check(capsys, source, tmp_path / "out", "differs", "0.5")
    assert list(tmp_path.iterdir()) == []


def test_reasons_against_a_class_come_at_once(tmp_path, capsys):
    data = toy.write_monolingual(tmp_path / "data")
    flags = ["--task", "language_modeling", "--arch", "transformer_lm", "--decoder-layers", 1]
    flags += ["--decoder-attention-heads", 2, "--tokens-per-sample", 16]
    task, model, _ = toy.build(data, *flags)
    cfg = toy.parse(data, *flags)
    path = toy.save_model(tmp_path / "lm.pt", cfg, model)
    error = refused(capsys, "--from", "fairseq", path, "--to", "hf", tmp_path / "out")
    assert "decoder_learned_pos" in error
    assert "no_scale_embedding" in error
    assert not (tmp_path / "out").exists()


def test_marian_does_not_go_back(tmp_path, capsys):
    folder, out = marian(tmp_path / "hf"), tmp_path / "out"
    assert main(["convert", "--from", "hf", str(folder), "--to", "fairseq", str(out)]) == 0
    error = refused(capsys, "--from", "fairseq", out / "model.pt", "--to", "hf", tmp_path / "back")
    assert "folded" in error


def test_dictionaries_that_are_not_there(tmp_path, capsys):
    out = tmp_path / "out"
    folder = roberta(tmp_path / "hf")
    assert main(["convert", "--from", "hf", str(folder), "--to", "fairseq", str(out)]) == 0
    (tmp_path / "model.pt").write_bytes((out / "model.pt").read_bytes())
    for path in sorted(out.glob("*.txt")):
        path.unlink()
    argv = ("--from", "fairseq", tmp_path / "model.pt", "--to", "hf", tmp_path / "back")
    assert "--data" in refused(capsys, *argv)
    assert not Path(tmp_path / "back").exists()
