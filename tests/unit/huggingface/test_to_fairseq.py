"""Convert Hugging Face folders: the same logits, verified output, refusals that leave nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("tokenizers")

import toy
from conversions import (
    check_refused,
    copy_of,
    edit_config,
    from_hf,
    load_fairseq,
    load_hf,
    order_of,
    refusal,
    to_hf,
)
from hf_folders import MAKERS, T, bart, bert, gpt2, roberta
from lightpaff_fairseq.huggingface import from_fairseq, hf_parity
from lightpaff_fairseq.huggingface.conversion import Conversion
from lightpaff_fairseq.huggingface.text_back import compare_back
from lightpaff_fairseq.huggingface.to_fairseq import convert

pytestmark = pytest.mark.hf

TOLERANCE = 1e-4
EOS = 2


@torch.no_grad()
def naive_difference(source: Path, out: Path) -> float:
    """One sentence at a time, no padding, ids mapped one by one: the largest difference."""
    (model, task), hf_model, order = load_fairseq(out), load_hf(source), order_of(out)
    known = [i for i in range(len(order)) if order[i] < hf_model.config.vocab_size]
    heads = getattr(model, "classification_heads", {})
    name = {"classification_head_name": next(iter(heads))} if len(heads) else {}
    largest, generator = 0.0, torch.Generator().manual_seed(5)
    assert len(task.source_dictionary) == len(order)
    for length in (1, 5, 11):
        tokens = torch.randint(4, len(order), (1, length), generator=generator)
        tokens = torch.cat([tokens, torch.tensor([[EOS]])], 1)
        ids = torch.tensor([[int(order[i]) for i in tokens[0]]])
        if hasattr(model, "decoder") and hasattr(model, "encoder"):
            previous = torch.cat([tokens[:, -1:], tokens[:, :-1]], 1)
            start = getattr(hf_model.config, "decoder_start_token_id", None)
            previous_ids = torch.cat([ids[:, -1:], ids[:, :-1]], 1)
            previous_ids[0, 0] = previous_ids[0, 0] if start is None else start
            hf_logits = hf_model(input_ids=ids, decoder_input_ids=previous_ids).logits
            logits = model(tokens, torch.tensor([length + 1]), previous)[0]
        else:
            hf_logits, logits = hf_model(input_ids=ids).logits, model(tokens, **name)[0]
        if not name:
            hf_logits = hf_logits[..., [int(order[i]) for i in known]]
            logits = logits[..., known]
        assert float(hf_logits.std()) > 0.05  # there is something to compare
        largest = max(largest, float((hf_logits - logits).abs().max()))
    return largest


@pytest.mark.slow
@pytest.mark.parametrize("family", MAKERS)
def test_logits_are_those_of_transformers(family: str, converted: Any) -> None:
    source, out = converted(family)
    assert naive_difference(source, out) <= TOLERANCE


def test_a_roberta_with_a_segment_of_its_own_is_the_same_function(tmp_path: Path) -> None:
    source = roberta(tmp_path / "hf", zero="")
    assert load_hf(source).roberta.embeddings.token_type_embeddings.weight.abs().sum() > 1
    convert(Conversion(("hf", source), ("fairseq", tmp_path / "out")))
    assert naive_difference(source, tmp_path / "out") <= TOLERANCE


def test_a_model_for_pretraining_is_read_as_its_masked_lm(tmp_path: Path) -> None:
    source = bert(tmp_path / "hf", "ForPreTraining")
    convert(Conversion(("hf", source), ("fairseq", tmp_path / "out"), segment=1))
    (model, _), hf_model = load_fairseq(tmp_path / "out"), load_hf(source)
    order = order_of(tmp_path / "out")
    tokens = torch.tensor([[5, 9, 12, EOS]])
    with torch.no_grad():
        hf_out = hf_model(input_ids=order[tokens], token_type_ids=torch.ones_like(tokens))
        logits = model(tokens)[0]
    assert float((hf_out.prediction_logits[..., order] - logits).abs().max()) <= TOLERANCE


@pytest.mark.slow
def test_half_precision_becomes_float32_and_comes_back(tmp_path: Path) -> None:
    source = MAKERS["gpt2"](tmp_path / "hf")
    load_hf(source).half().save_pretrained(source)
    converted = convert(Conversion(("hf", source), ("fairseq", tmp_path / "out")))
    assert "float16" in converted.notes[0]
    assert all(p.dtype == torch.float32 for p in load_fairseq(tmp_path / "out")[0].parameters())
    from_fairseq.write(tmp_path / "out" / "model.pt", None, tmp_path / "back")
    first, second = (load_hf(x).state_dict() for x in (source, tmp_path / "back"))
    assert {x.dtype for x in second.values()} == {torch.float16}
    assert all(torch.equal(first[n], second[n]) for n in first)


def test_all_options_that_fairseq_lacks_are_named_at_once(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    edit_config(folder, activation_function="mish", scale_attn_by_inverse_layer_idx=True)
    edit_config(folder, layer_norm_epsilon=1e-6)
    words = ("mish", "scale_attn_by_inverse_layer_idx", "layer_norm_epsilon", "1e-06")
    check_refused(capsys, folder, *words)


def test_other_families_and_heads(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    edit_config(folder, model_type="t5")
    check_refused(capsys, folder, "model_type", "'t5'", "xlm-roberta")
    edit_config(folder, model_type="gpt2", architectures=["GPT2ForSequenceClassification"])
    check_refused(capsys, folder, "GPT2LMHeadModel", "GPT2ForSequenceClassification")


def test_a_segment_that_the_model_does_not_have(tmp_path, capsys):
    folder = bert(tmp_path / "hf")
    check_refused(capsys, folder, "--segment 2: expected 0 to 1", more=("--segment", "2"))


def test_a_bias_of_logits_that_cannot_be_folded(tmp_path, capsys):
    folder = bart(tmp_path / "hf")
    state = load_file(folder / "model.safetensors")
    state["final_logits_bias"] = torch.zeros(1, 300)
    state["final_logits_bias"][0, 7] = 1
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    check_refused(capsys, folder, "final_logits_bias", "zeros")


def test_what_only_fairseq_finds_names_the_folder_too(tmp_path, capsys):
    folder = MAKERS["marian"](tmp_path / "hf")
    state = load_file(folder / "model.safetensors")
    last = "model.decoder.layers.2.final_layer_norm.weight"  # the bias cannot be folded into zeros
    save_file(
        {**state, last: torch.zeros_like(state[last])},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    error = check_refused(capsys, folder)
    assert error.startswith(f"lightpaff convert: error: --from hf {folder}: {last}: expected gains")


@pytest.mark.slow
def test_an_existing_folder_stays_unless_forced(source, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("precious")
    argv = ("--from", "hf", source, "--to", "fairseq", out)
    assert "--force" in refusal(capsys, *argv)
    assert "only what this command wrote" in refusal(capsys, *argv, "--force")
    assert (out / "mine").read_text() == "precious"
    (out / "mine").unlink()
    from_hf(source, out)
    before = sorted(p.name for p in out.iterdir())
    from_hf(source, out, "--force")
    assert sorted(p.name for p in out.iterdir()) == before
    argv = ("--from", "hf", source, "--to", "fairseq", source.parent, "--force")
    assert "expected a folder that does not contain the input" in refusal(capsys, *argv)


@pytest.mark.slow
def test_a_failed_comparison_leaves_nothing(source, tmp_path, capsys, monkeypatch):
    outputs = torch.zeros(3, 4), torch.full((3, 4), 0.5)
    monkeypatch.setattr(hf_parity, "logits_of_both", lambda *_: outputs)
    check_refused(capsys, source, "differs", "0.5", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "roberta"])
def test_a_converted_model_teaches_and_is_fine_tuned(family, tmp_path, capsys):
    make, task, criterion = {
        "gpt2": (gpt2, "language_modeling", "kd_clm"),
        "roberta": (roberta, "masked_lm", "kd_mlm"),
    }[family]
    out = tmp_path / "teacher"
    from_hf(make(tmp_path / "hf"), out)
    shown = capsys.readouterr().out.split("model: ")[1].splitlines()[0].split()
    for seed, split in enumerate(("train", "valid")):
        texts = [[i + 1 for i in t[:-1]] + [2] for t in toy.sentences(20, seed, words=100)]
        toy.write_split(out / split, texts)  # symbol 4 is <mask> in one of them
    run = ["--max-tokens", 200, "--max-update", 2, "--lr", 0.001, "--lr-scheduler", "fixed"]
    saved = tmp_path / "saved"
    flags = ["--criterion", criterion, "--kd-teacher", out / "model.pt", "--save-dir", saved]
    toy.train(out, *shown, "--finetune-from-model", out / "model.pt", *flags, *run)
    path = saved / "checkpoint_last.pt"
    to_hf(path, tmp_path / "back", "--data", out)
    assert compare_back(path, out, tmp_path / "back").difference <= 1e-4
    tuned, before = (T.AutoModel.from_pretrained(tmp_path / x) for x in ("back", "hf"))
    assert type(tuned) is type(before)
    assert T.AutoTokenizer.from_pretrained(tmp_path / "back")("the cat").input_ids
