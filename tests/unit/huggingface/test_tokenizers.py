"""Encode text for fairseq as the tokenizer does; refuse tokenizers that fairseq's do not equal."""

import json
import shutil
from typing import Any

import pytest
import sentencepiece

pytest.importorskip("tokenizers")

from conversions import check_refused, copy_of, load_fairseq, order_of
from hf_folders import ENCODER, MAKERS, NAMES, SPECIAL, TEXT, T, bert, byte_bpe, xlm_r
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.huggingface.tokenizers import encoder

pytestmark = pytest.mark.hf


@pytest.fixture(scope="module")
def of_bert(tmp_path_factory):
    return bert(tmp_path_factory.mktemp("bert") / "hf")


@pytest.mark.slow
@pytest.mark.parametrize("family", [n for n in MAKERS if n not in ("classifier", "scaled bart")])
def test_text_encoded_for_fairseq_gives_the_same_ids(family: str, converted: Any, tmp_path, capsys):
    source, out = converted(family)
    text = tmp_path / "text"
    text.write_text("".join(f" {line}\n" for line in TEXT), encoding="utf-8")
    capsys.readouterr()
    assert main(["subwords", "encode", "--model", str(out), str(text)]) == 0
    assert capsys.readouterr().out.splitlines() == [encoder(out)(line) for line in TEXT]
    encode, order = encoder(out), order_of(out)
    _, task = load_fairseq(out)
    tokenizer = T.AutoTokenizer.from_pretrained(source)
    for line in TEXT:
        symbols = task.source_dictionary.encode_line(encode(line), add_if_not_exist=False)
        ids = [int(order[i]) for i in symbols][1 if family == "bart" else 0 :]  # <s> is in front
        assert ids[-1] == tokenizer.convert_tokens_to_ids(
            tokenizer.eos_token or tokenizer.sep_token
        )
        assert ids[:-1] == tokenizer(line, add_special_tokens=False).input_ids
        assert len(ids) > 3


def test_a_tokenizer_that_splits_otherwise(source, tmp_path, capsys):
    folder = copy_of(source, tmp_path / "hf")
    state = json.loads((folder / "tokenizer.json").read_text())
    state["pre_tokenizer"] = {"type": "Whitespace"}
    state["normalizer"] = {"type": "Lowercase"}
    (folder / "tokenizer.json").write_text(json.dumps(state))
    check_refused(capsys, folder, "Whitespace", "Lowercase", "--bpe gpt2")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strip_accents": True, "do_lower_case": False}, ["strip_accents: expected False"]),
        ({"strip_accents": False, "do_lower_case": True}, ["strip_accents: expected True"]),
        ({"tokenize_chinese_chars": False}, ["handle_chinese_chars: expected True, got False"]),
    ],
)
def test_word_pieces_cut_otherwise(settings, words, of_bert, tmp_path, capsys):
    folder = copy_of(of_bert, tmp_path / "hf")
    config = {"tokenizer_class": "BertTokenizer", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    check_refused(capsys, folder, "--bpe bert differs", *words, more=("--segment", 0))


def test_a_bert_without_word_pieces(tmp_path, capsys):
    folder, tokenizer = tmp_path / "hf", byte_bpe((*SPECIAL, "<mask>"))
    config = T.BertConfig(vocab_size=tokenizer.get_vocab_size(), **ENCODER)
    T.BertForMaskedLM(config).save_pretrained(folder)
    T.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **NAMES).save_pretrained(folder)
    words = ("model.type: expected WordPiece, got BPE", "normalizer.type", "pre_tokenizer.type")
    check_refused(capsys, folder, *words, more=("--segment", 0))


def test_a_sentencepiece_model_of_other_text(tmp_path, capsys):
    folder = xlm_r(tmp_path / "hf")
    T.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)  # tokenizer.json
    prefix = tmp_path / "hf" / "other"
    lines = iter(["ÄÖÜ ßßß ÆØÅ", "ŁĘĄ ŻŹĆ ÐÞ"] * 10)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_prefix=str(prefix), vocab_size=40, hard_vocab_limit=False
    )
    shutil.move(f"{prefix}.model", folder / "sentencepiece.bpe.model")
    check_refused(capsys, folder, "sentencepiece.bpe.model", "own pieces", "in it")
    (folder / "sentencepiece.bpe.model").write_text("no model")
    check_refused(capsys, folder, "expected a SentencePiece model")
