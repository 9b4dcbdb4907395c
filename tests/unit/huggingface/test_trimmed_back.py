"""A trimmed model goes back to Hugging Face, with its tokenizer cut alike."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("tokenizers")

import toy
from conversions import load_fairseq, load_hf, order_of, read_json, to_hf
from hf_folders import TEXT, T
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.huggingface.tokenizers import encoder
from lightpaff_fairseq.trimming.hf_companion import cut_tokenizer

pytestmark = [pytest.mark.hf, pytest.mark.slow]

SENTENCE = TEXT[0]  # all of its tokens are kept


def trimmed(name: str, converted: Any, folder: Path) -> tuple[Path, Path]:
    """Trim a converted model to the tokens of one sentence; return (Hugging Face folder, out)."""
    source, out = converted(name)
    model, data = shutil.copytree(out, folder / "model"), folder / "data"
    pooling = model / "huggingface" / "1_Pooling" / "config.json"  # of sentence-transformers
    pooling.parent.mkdir()
    pooling.write_text('{"word_embedding_dimension": 128}')
    _, task = load_fairseq(model)
    line = encoder(model)(SENTENCE)
    ids = task.source_dictionary.encode_line(line, add_if_not_exist=False).tolist()
    data.mkdir()
    shutil.copyfile(model / "dict.txt", data / "dict.txt")
    toy.write_split(data / "train", [ids] * 3)
    words = ["trim-vocab", "--path", model / "model.pt", "--data", data, "--coverage", "1"]
    assert main([str(x) for x in (*words, "--out", folder / "t")]) == 0
    return source, folder / "t"


@torch.no_grad()
@pytest.mark.parametrize("name", ["bert pairs", "roberta", "xlm-r", "gpt2"])
def test_the_whole_model_and_the_trimmed_one_read_text_alike(
    name: str, converted: Any, tmp_path: Path, capsys: Any
) -> None:
    source, out = trimmed(name, converted, tmp_path)
    assert "note:" not in capsys.readouterr().out
    back = to_hf(out / "model.pt", tmp_path / "back")
    assert read_json(back, "1_Pooling", "config.json") == {"word_embedding_dimension": 128}
    sizes = [read_json(x, "config.json")["vocab_size"] for x in (source, back)]
    tokenizers = [T.AutoTokenizer.from_pretrained(x) for x in (source, back)]
    assert sizes[1] < sizes[0] and len(tokenizers[1]) <= sizes[1]
    batches = [tokenizer(SENTENCE, return_tensors="pt") for tokenizer in tokenizers]
    tokens = [x.convert_ids_to_tokens(y.input_ids[0]) for x, y in zip(tokenizers, batches)]
    assert tokens[0] == tokens[1] and not tokens[0].count(tokenizers[0].unk_token)
    whole, small = (load_hf(x)(**y).logits for x, y in zip((source, back), batches))
    if small.shape != whole.shape:  # of kept tokens
        kept, new = json.loads((out / "trim.json").read_text())["sides"], order_of(out)
        old = order_of(converted(name)[1])[kept["shared"]["kept"]]
        whole, small = whole[..., old], small[..., new]
    assert torch.allclose(whole, small, atol=1e-5)
    for text in (*TEXT, "the hat of a dog"):  # spelled with tokens that are kept
        made = tokenizers[1](text, add_special_tokens=False).input_ids
        _, task = load_fairseq(out)
        line = encoder(out)(text)
        ids = task.source_dictionary.encode_line(line, add_if_not_exist=False, append_eos=False)
        assert order_of(out)[ids.long()].tolist() == made


def test_a_multilingual_model_says_why_it_stays(
    converted: Any, tmp_path: Path, capsys: Any
) -> None:
    model = shutil.copytree(converted("nllb")[1], tmp_path / "model")
    for language in ("eng_Latn", "deu_Latn"):
        toy.write_split(model / f"train.eng_Latn-deu_Latn.{language}", [[7, 8, 9, 2]])
    words = ["trim-vocab", "--path", model / "model.pt", "--data", model, "--coverage", "1"]
    assert main([str(x) for x in (*words, "--out", tmp_path / "t")]) == 0
    printed = capsys.readouterr().out
    assert "note: the trimmed model cannot go back to Hugging Face: a SentencePiece" in printed
    assert not (tmp_path / "t" / "huggingface").exists()


def test_a_special_token_that_was_cut_and_an_unknown_kind() -> None:
    ends = {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 0]}
    model: dict[str, Any] = {"type": "WordPiece", "vocab": {"[CLS]": 0, "a": 1, "[SEP]": 2}}
    state = {"model": model, "added_tokens": [], "post_processor": ends, "padding": None}
    cut = cut_tokenizer(state, {0: 0, 2: 1})
    assert cut["model"]["vocab"] == {"[CLS]": 0, "[SEP]": 1}
    assert cut["post_processor"]["sep"] == ["[SEP]", 1]
    with pytest.raises(ValueError, match=r"\[SEP\]: token 2, which is needed, was cut"):
        cut_tokenizer(state, {0: 0, 1: 1})
    with pytest.raises(ValueError, match="expected one of WordPiece, BPE, Unigram, got WordLevel"):
        cut_tokenizer({**state, "model": {**model, "type": "WordLevel"}}, {0: 0, 2: 1})
