"""Tokenizers that fairseq's own encoders do not equal, and special tokens that share a row."""

import json
import shutil

import pytest
import sentencepiece

pytest.importorskip("tokenizers")

from test_huggingface_bad_input import copy_of, refused
from test_huggingface_students import SMALL, TRANSLATION

import toy
from hf_folders import ENCODER, NAMES, SPECIAL, T, bert, byte_bpe, gpt2, marian, roberta, xlm_r
from lightpaff_fairseq.cli.main import main


def check_refused(capsys, folder, *words, more=()):
    out = folder.with_name("out")
    error = refused(capsys, "--from", "hf", folder, "--to", "fairseq", out, *more)
    assert error.count("\n") == 1 and all(word in error for word in words), error
    assert [x.name for x in folder.parent.iterdir()] == [folder.name]


@pytest.fixture(scope="module")
def of_bert(tmp_path_factory):
    return bert(tmp_path_factory.mktemp("bert") / "hf")


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


def with_special(folder, **tokens):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **tokens}))
    return folder


def test_no_row_is_there_twice(tmp_path, capsys):
    folder = with_special(gpt2(tmp_path / "gpt2"), pad_token="!", unk_token="!", bos_token="!")
    assert main(["convert", "--from", "hf", str(folder), "--to", "fairseq", f"{folder}.o"]) == 0
    record = json.loads((tmp_path / "gpt2.o" / "huggingface" / "lightpaff.json").read_text())
    assert sorted(record["order"]) == list(range(300))
    (tmp_path / "roberta").mkdir()
    folder = with_special(roberta(tmp_path / "roberta" / "hf"), pad_token="</s>")
    check_refused(capsys, folder, "one token for <pad> and </s>")


def test_a_student_starts_and_ends_with_its_teachers_tokens(tmp_path, capsys):
    source, out = marian(tmp_path / "hf"), tmp_path / "teacher"
    assert main(["convert", "--from", "hf", str(source), "--to", "fairseq", str(out)]) == 0
    for side in ("source", "target"):
        toy.write_split(out / f"train.source-target.{side}", [[*range(5, 12), 2]] * 3)

    def back(arch):
        flags = ["--arch", arch, *SMALL, *TRANSLATION]
        flags += ["--source-lang", "source", "--target-lang", "target"]
        _, model, _ = toy.build(out, *flags)
        path = toy.save_model(tmp_path / "student.pt", toy.parse(out, *flags), model.eval())
        return ["--from", "fairseq", str(path), "--data", str(out), "--to", "hf", f"{tmp_path}/s"]

    error = refused(capsys, *back("transformer"))
    assert "sinusoidal positions: expected <pad> with the id 1, got" in error
    assert main(["convert", *back("transformer_mass_tiny")]) == 0
    config = json.loads((tmp_path / "s" / "config.json").read_text())
    ends = {config[f"{name}_token_id"] for name in ("eos", "decoder_start", "forced_eos")}
    assert ends == {T.AutoTokenizer.from_pretrained(source).eos_token_id} == {0}
