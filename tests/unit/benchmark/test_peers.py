"""Models of any origin for `benchmark inference --peer`: what is found, run and refused."""

import shutil

import pytest
import torch

from lightpaff_fairseq.benchmark.ctranslate2_file import count_parameters
from lightpaff_fairseq.benchmark.peers import find_peers
from lightpaff_fairseq.export.engines import Search

pytestmark = [pytest.mark.export, pytest.mark.hf, pytest.mark.slow]
ctranslate2 = pytest.importorskip("ctranslate2")
pytest.importorskip("transformers")

LONGEST = 12
SEARCH = Search(2, longest=LONGEST, shortest=0)
SOURCES = {"source_text": ["the cat sat", "a b c d", "hello world is long"]}


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    """A folder of transformers, and the same model as CTranslate2's users convert it."""
    import hf_folders

    folder, converted = tmp_path_factory.mktemp("marian"), tmp_path_factory.mktemp("converted")
    hf_folders.marian(folder)
    model = hf_folders.T.MarianMTModel.from_pretrained(str(folder))
    torch.manual_seed(1)
    with torch.no_grad():
        model.final_logits_bias.zero_()
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "embed_positions" not in name:
                weight.normal_(std=0.3)
        model.model.shared.weight[-1] = 0  # padding, from which OPUS-MT's decoders start
    model.save_pretrained(folder)
    converter = ctranslate2.converters.TransformersConverter(
        str(folder), copy_files=["source.spm", "target.spm"]
    )
    converter.convert(str(converted), force=True)
    return folder, converted


def test_the_same_model_says_the_same_in_both_libraries(marian):
    peers = find_peers([str(path) for path in marian], SEARCH, "cpu")
    first, second = (peer.load() for peer in peers)
    answers = first.run(SOURCES), second.run(SOURCES)
    for one, other in zip(*answers, strict=True):  # transformers ends at the longest length
        assert one == other[: len(one)] and len(one) >= LONGEST - 1
    assert len(set(answers[1])) > 1
    second.end = []
    assert second.run(SOURCES) != answers[1]  # which OPUS-MT needs
    positions = sum(
        weight.numel() for name, weight in first.model.named_parameters() if "positions" in name
    )
    width = first.model.config.d_model
    padding = width + 1  # a row of the table and a bias, which CTranslate2 removes
    converted = peers[1].params(second)
    assert peers[0].params(first) - positions - width <= converted
    assert converted <= peers[0].params(first) + first.model.config.vocab_size + padding
    assert peers[0].size_mb == (marian[0] / "model.safetensors").stat().st_size / 1e6


def test_what_cannot_be_timed_is_refused_in_one_error(marian, tmp_path):
    for name in ("empty", "bare", "two", "cut"):
        (tmp_path / name).mkdir()
    for name in ("bare", "two"):
        for file in ("model.bin", "config.json", "shared_vocabulary.json"):
            shutil.copyfile(marian[1] / file, tmp_path / name / file)
    for name in ("a.model", "b.spm"):
        shutil.copyfile(marian[1] / "source.spm", tmp_path / "two" / name)
    (tmp_path / "cut" / "config.json").write_text('{"model_type": "bert"}')
    words = [str(tmp_path / name) for name in ("no", "empty", "bare", "two", "cut")]
    words += [f"{tmp_path / 'bare'}=no.model", f"{marian[0]}={marian[1] / 'source.spm'}"]
    with pytest.raises(ValueError) as error:
        find_peers(words, SEARCH, "cpu")
    messages = str(error.value).split("; --peer ")
    reasons = ["no such folder", "got neither", "got none", "got a.model, b.spm", "no encoder-deco"]
    reasons += ["no such SentencePiece model: no.model", "has its own tokenizer"]
    assert len(messages) == len(words)
    for word, reason, message in zip(words, reasons, messages, strict=True):
        assert word in message and reason in message
    given = find_peers([f"{tmp_path / 'bare'}={marian[1] / 'source.spm'}"], SEARCH, "cpu")
    assert [path.name for path in given[0].pieces] == ["source.spm"]
    (tmp_path / "bare" / "model.bin").write_bytes((marian[1] / "model.bin").read_bytes()[:500])
    with pytest.raises(ValueError, match="CTranslate2 cannot load it as a translation model"):
        given[0].load()
    with pytest.raises(ValueError, match="it ends in the middle"):
        count_parameters(tmp_path / "bare" / "model.bin")
