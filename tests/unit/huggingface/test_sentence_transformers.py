"""What a sentence-transformers folder says about the encoder in it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("tokenizers")

import toy
from conversions import load_fairseq, read_json, refusal, to_hf
from hf_folders import TEXT, T, bert
from lightpaff_fairseq.huggingface.conversion import Conversion
from lightpaff_fairseq.huggingface.sentence_transformers import fit_modules
from lightpaff_fairseq.huggingface.to_fairseq import convert
from lightpaff_fairseq.huggingface.tokenizers import encoder
from lightpaff_fairseq.models.sentence_embeddings import embed

ENCODER = "--arch roberta --encoder-layers 1 --encoder-embed-dim 8 --encoder-ffn-embed-dim 12"
ENCODER += " --encoder-attention-heads 2 --max-positions 42 --task sentence_prediction"
ENCODER += " --num-classes 1 --regression-target --init-token 0"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a converted BertModel, whose folder had no modules, with data of its tokens."""
    folder = tmp_path_factory.mktemp("embedding")
    convert(Conversion(("hf", bert(folder / "hf", "Model")), ("fairseq", folder / "teacher")))
    (folder / "teacher" / "input0").mkdir()
    words = (folder / "teacher" / "dict.txt").read_text()
    (folder / "teacher" / "input0" / "dict.txt").write_text(words)
    for split in ("train", "valid"):
        toy.write_split(folder / "teacher" / "input0" / split, [[7, 8, 9, 2], [9, 2], [5, 6, 2]])
    return folder / "teacher"


def student(teacher: Path, path: Path, pooling: str) -> Any:
    """Save a student as `kd_embed` leaves it; return its model."""
    argv = (teacher, *ENCODER.split(), "--criterion", "kd_embed", "--kd-pooling", pooling)
    argv += ("--kd-teacher", teacher / "model.pt")
    _, model, _ = toy.build(*argv)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=1)
    toy.save_model(path, toy.parse(*argv), model)
    return model.eval()


@torch.no_grad()
def fairseq_embeddings(model: Any, teacher: Path, pooling: str) -> torch.Tensor:
    """Embed texts one by one, from text, as kd_embed does."""
    dictionary, encode = load_fairseq(teacher)[1].source_dictionary, encoder(teacher)
    rows = []
    for text in TEXT:
        ids = dictionary.encode_line(encode(text), add_if_not_exist=False).long()
        tokens = torch.cat([torch.tensor([0]), ids])[None]
        rows.append(torch.nn.functional.normalize(embed(model, tokens, 1, pooling), dim=-1)[0])
    return torch.stack(rows)


@torch.no_grad()
def stated_embeddings(folder: Path) -> torch.Tensor:
    """Embed a padded batch with transformers, as the folder's modules state it."""
    kinds = [x["type"].rpartition(".")[2] for x in read_json(folder, "modules.json")]
    assert kinds == ["Transformer", "Pooling", "Normalize"]
    pooling = read_json(folder, "1_Pooling", "config.json")
    batch = T.AutoTokenizer.from_pretrained(folder)(TEXT, padding=True, return_tensors="pt")
    model = T.AutoModel.from_pretrained(folder).eval()
    states, mask = model(**batch).last_hidden_state, batch.attention_mask[..., None]
    assert states.shape[-1] == pooling["word_embedding_dimension"]
    assert sum(pooling[x] is True for x in pooling if x.startswith("pooling_mode")) == 1
    pooled = (states * mask).sum(1) / mask.sum(1)
    pooled = pooled if pooling["pooling_mode_mean_tokens"] else states[:, 0]
    return torch.nn.functional.normalize(pooled, dim=-1)


@pytest.mark.hf
@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_a_folder_from_nothing_embeds_text_as_fairseq_does(pooling, teacher, tmp_path):
    model = student(teacher, tmp_path / "s.pt", pooling)
    out = to_hf(tmp_path / "s.pt", tmp_path / "out", "--data", teacher)
    expected = fairseq_embeddings(model, teacher, pooling)
    assert (stated_embeddings(out) - expected).abs().max() <= 1e-5
    assert (expected[0] - expected[1]).abs().max() > 0.1
    assert read_json(out, "config.json")["architectures"] == ["RobertaModel"]
    assert read_json(out, "sentence_bert_config.json")["max_seq_length"] == 42
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        return
    embedded = torch.tensor(SentenceTransformer(str(out)).encode(TEXT))
    assert (embedded - expected).abs().max() <= 1e-4


@pytest.mark.hf
def test_pooling_of_something_else_and_no_tokenizer(teacher, tmp_path, capsys):
    data = toy.write_parallel(tmp_path / "data")
    flags = (data, "--task", "translation", "--criterion", "kd_ss", "--kd-lambda", 0)
    flags += ("--arch", "transformer_mass_tiny")
    _, model, _ = toy.build(*flags)
    path = toy.save_model(tmp_path / "t.pt", toy.parse(*flags), model)
    argv = ("--from", "fairseq", path, "--to", "hf", tmp_path / "out", "--pooling", "mean")
    assert "--pooling mean: expected a roberta or a bert, got" in refusal(capsys, *argv)
    error = refusal(capsys, *argv, "--tokenizer", tmp_path)
    assert f"--tokenizer {tmp_path}: expected a folder of lightpaff convert" in error
    argv = ("--from", "hf", tmp_path, "--to", "fairseq", tmp_path / "out", "--pooling", "mean")
    assert "--pooling: expected with --from fairseq, got --from hf" in refusal(capsys, *argv)
    assert not (tmp_path / "out").exists()


def test_the_pooling_gets_the_width_of_the_encoder_and_keeps_its_mode(tmp_path):
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [{"path": path, "type": f"x.models.{kind}"} for path, kind in kinds.items()]
    fit_modules(tmp_path, 8, 5)  # another folder: nothing to do
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    path = tmp_path / "1_Pooling" / "config.json"
    path.parent.mkdir()
    config = {"word_embedding_dimension": 384, "pooling_mode_cls_token": True}
    path.write_text(json.dumps(config))
    length = tmp_path / "sentence_bert_config.json"
    length.write_text('{"max_seq_length": 256, "do_lower_case": false}')
    fit_modules(tmp_path, 192, 128)
    assert json.loads(length.read_text()) == {"max_seq_length": 128, "do_lower_case": False}
    assert json.loads(path.read_text()) == {**config, "word_embedding_dimension": 192}
    assert {x.name for x in tmp_path.iterdir()} == {"modules.json", "1_Pooling", length.name}
