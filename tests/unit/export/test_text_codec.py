"""The use.py of an export cuts text as fairseq's `--bpe` does, for every kind of tokenizer."""

import json
import runpy
import shutil

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("tokenizers")

from hf_folders import TEXT, T, byte_bpe, pieces_of_bert
from lightpaff_fairseq.export.loaded_model import MASKED_LM
from lightpaff_fairseq.export.text_codec import TextCodec, folder_codec
from lightpaff_fairseq.export.use_script import Use, script
from lightpaff_fairseq.huggingface import tokenizers
from vocabularies import piece_model

pytestmark = [pytest.mark.hf, pytest.mark.export]

LINES = [*TEXT, "  Über Cats and\tnaïve dogs!  ", "", "a☃b"]


def word_piece_flags(folder, cased):
    return tokenizers.write_word_pieces(pieces_of_bert(), folder, cased)


def byte_flags(folder):
    fast = T.PreTrainedTokenizerFast(tokenizer_object=byte_bpe(("<|endoftext|>",)))
    return tokenizers.write_merges(tokenizers.read_merges(fast), folder)


def piece_flags(folder):
    (folder / tokenizers.PIECES).write_bytes(piece_model(TEXT * 5))
    return {"--bpe": "sentencepiece", "--sentencepiece-model": tokenizers.PIECES}


KINDS = {
    "wordpiece": lambda folder: word_piece_flags(folder, False),
    "cased": lambda folder: word_piece_flags(folder, True),
    "bytes": byte_flags,
    "sentencepiece": piece_flags,
}


@pytest.mark.parametrize("name", KINDS)
def test_text_is_cut_as_by_fairseq(name, tmp_path):
    tokenizers.write_encoding(KINDS[name](tmp_path), tmp_path)
    codec = folder_codec(tmp_path)
    assert codec.kind == ("wordpiece" if name == "cased" else name)
    assert codec.cased == (name == "cased")
    (out := tmp_path / "out").mkdir()
    for file, path in codec.files.items():
        shutil.copyfile(path, out / file)
    (out / "symbols.json").write_text(json.dumps([]))
    (out / "use.py").write_text(script(Use(MASKED_LM, codec, 0, False, 30)))
    split = runpy.run_path(str(out / "use.py"))["split"]
    for line in LINES:
        text = line if name == "bytes" else line.strip()  # where spaces are tokens, too
        assert split(f"{line}\n") == codec.encode(text).split()
    tokens = codec.encode(TEXT[0]).split()
    assert codec.decode(tokens) == TEXT[0] and len(tokens) > 6


def test_without_a_tokenizer_text_is_tokens():
    codec = TextCodec()
    assert codec.encode("a b@@") == "a b@@" and codec.decode(["a", "b@@"]) == "a b@@"
