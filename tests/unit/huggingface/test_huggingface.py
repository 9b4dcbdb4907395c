"""Hugging Face models in fairseq: the same logits, the same text, and back bit for bit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq import checkpoint_utils

pytest.importorskip("tokenizers")

from hf_folders import LANGUAGES, MAKERS, REVERSIBLE, TEXT, T, bert, roberta
from lightpaff_fairseq.huggingface import from_fairseq, hf_parity
from lightpaff_fairseq.huggingface.conversion import Conversion
from lightpaff_fairseq.huggingface.to_fairseq import convert
from lightpaff_fairseq.huggingface.tokenizers import encoder

TOLERANCE = 1e-4
PAD, EOS = 1, 2


@pytest.fixture(scope="session")
def converted(tmp_path_factory: Any) -> Callable[[str], tuple[Path, Path]]:
    """(Hugging Face folder, what it was converted to) of a family, made once."""
    made: dict[str, tuple[Path, Path]] = {}

    def get(name: str) -> tuple[Path, Path]:
        if name not in made:
            root = tmp_path_factory.mktemp("converted")
            source, out = MAKERS[name](root / "hf"), root / "fairseq"
            segment = 0 if "bert" in name and "ro" not in name else None
            languages = LANGUAGES.get(name, ("source", "target"))
            convert(Conversion(("hf", source), ("fairseq", out), segment, languages))
            made[name] = source, out
        return made[name]

    return get


def load_fairseq(folder: Path) -> tuple[Any, Any]:
    """(model, task) as fairseq-generate loads them."""
    overrides = {"data": str(folder), "load_checkpoint_heads": True}
    models, _, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(folder / "model.pt")], arg_overrides=overrides
    )
    return models[0].eval(), task


def load_huggingface(folder: Path) -> Any:
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    return getattr(T, name).from_pretrained(folder).eval()


def order_of(folder: Path) -> torch.Tensor:
    return torch.tensor(
        json.loads((folder / "huggingface" / "lightpaff.json").read_text())["order"]
    )


@torch.no_grad()
def naive_difference(source: Path, out: Path) -> float:
    """One sentence at a time, no padding, ids mapped one by one: the largest difference."""
    (ours, task), theirs, order = load_fairseq(out), load_huggingface(source), order_of(out)
    known = [i for i in range(len(order)) if order[i] < theirs.config.vocab_size]
    heads = getattr(ours, "classification_heads", {})
    name = {"classification_head_name": next(iter(heads))} if len(heads) else {}
    largest, generator = 0.0, torch.Generator().manual_seed(5)
    assert len(task.source_dictionary) == len(order)
    for length in (1, 5, 11):
        tokens = torch.randint(4, len(order), (1, length), generator=generator)
        tokens = torch.cat([tokens, torch.tensor([[EOS]])], 1)
        ids = torch.tensor([[int(order[i]) for i in tokens[0]]])
        if hasattr(ours, "decoder") and hasattr(ours, "encoder"):
            previous = torch.cat([tokens[:, -1:], tokens[:, :-1]], 1)
            start = getattr(theirs.config, "decoder_start_token_id", None)
            previous_ids = torch.cat([ids[:, -1:], ids[:, :-1]], 1)
            previous_ids[0, 0] = previous_ids[0, 0] if start is None else start
            found = theirs(input_ids=ids, decoder_input_ids=previous_ids).logits
            mine = ours(tokens, torch.tensor([length + 1]), previous)[0]
        else:
            found, mine = theirs(input_ids=ids).logits, ours(tokens, **name)[0]
        if not name:
            found, mine = found[..., [int(order[i]) for i in known]], mine[..., known]
        assert float(found.std()) > 0.05  # there is something to compare
        largest = max(largest, float((found - mine).abs().max()))
    return largest


@pytest.mark.parametrize("family", MAKERS)
def test_logits_are_those_of_transformers(family: str, converted: Any) -> None:
    source, out = converted(family)
    assert naive_difference(source, out) <= TOLERANCE


@pytest.mark.parametrize("family", REVERSIBLE)
def test_back_to_hugging_face_is_bit_equal(family: str, converted: Any, tmp_path: Path) -> None:
    source, out = converted(family)
    from_fairseq.write(out / "model.pt", None, tmp_path / "back")
    before, after = load_huggingface(source), load_huggingface(tmp_path / "back")
    files = [(x / "config.json").read_text() for x in (source, tmp_path / "back")]
    assert json.loads(files[0]) == json.loads(files[1])
    first, second = before.state_dict(), after.state_dict()
    assert first.keys() == second.keys()
    assert [n for n in first if not torch.equal(first[n], second[n])] == []
    words = [
        T.AutoTokenizer.from_pretrained(x)(TEXT).input_ids for x in (source, tmp_path / "back")
    ]
    assert words[0] == words[1]


def test_a_folded_segment_comes_back_as_the_same_function(converted: Any, tmp_path: Path) -> None:
    source, out = converted("bert classifier")
    from_fairseq.write(out / "model.pt", None, tmp_path / "back")
    tokens = torch.tensor([[3, 7, 9, 11, 4]])
    found = [load_huggingface(x)(input_ids=tokens).logits for x in (source, tmp_path / "back")]
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_a_roberta_with_a_segment_of_its_own_is_the_same_function(tmp_path: Path) -> None:
    source = roberta(tmp_path / "hf", zero="")
    assert load_huggingface(source).roberta.embeddings.token_type_embeddings.weight.abs().sum() > 1
    convert(Conversion(("hf", source), ("fairseq", tmp_path / "out")))
    assert naive_difference(source, tmp_path / "out") <= TOLERANCE


@pytest.mark.parametrize("family", [n for n in MAKERS if n not in ("classifier", "scaled bart")])
def test_text_encoded_for_fairseq_gives_the_same_ids(family: str, converted: Any) -> None:
    source, out = converted(family)
    encode, order = encoder(out), order_of(out)
    _, task = load_fairseq(out)
    tokenizer = T.AutoTokenizer.from_pretrained(source)
    for line in TEXT:
        symbols = task.source_dictionary.encode_line(encode(line), add_if_not_exist=False)
        ids = [int(order[i]) for i in symbols]
        assert ids[-1] == tokenizer.convert_tokens_to_ids(
            tokenizer.eos_token or tokenizer.sep_token
        )
        assert ids[:-1] == tokenizer(line, add_special_tokens=False).input_ids
        assert len(ids) > 3


def test_no_token_of_gpt2_is_lost_and_none_is_added(converted: Any) -> None:
    source, out = converted("gpt2")
    order = order_of(out)
    tokenizer = T.AutoTokenizer.from_pretrained(source)
    assert sorted(order.tolist()) == list(range(len(tokenizer)))
    raw = [tokenizer.convert_ids_to_tokens(int(order[i])) for i in (0, 1, 3)]
    letters = {token: byte for byte, token in byte_letters().items()}
    for token in raw:  # no UTF-8 text contains these bytes
        with pytest.raises(UnicodeDecodeError):
            (b"a" + bytes([letters[token]]) + b"\x80\x80\x80b").decode("utf-8")
        assert letters[token] in (0xC0, 0xC1, 0xF5)


def byte_letters() -> dict[int, str]:
    from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode

    return bytes_to_unicode()


def test_the_comparison_sees_a_changed_weight(converted: Any, tmp_path: Path) -> None:
    _, out = converted("gpt2")
    from_fairseq.write(out / "model.pt", None, tmp_path)
    assert hf_parity.largest_difference(out / "model.pt", None, tmp_path) <= 1e-5
    model = load_huggingface(tmp_path)
    with torch.no_grad():
        model.transformer.h[1].mlp.c_fc.weight[3, 5] += 0.5
    model.save_pretrained(tmp_path)
    assert hf_parity.largest_difference(out / "model.pt", None, tmp_path) > 1e-3


def test_a_model_for_pretraining_is_read_as_its_masked_lm(tmp_path: Path) -> None:
    source = bert(tmp_path / "hf", "PreTraining")
    convert(Conversion(("hf", source), ("fairseq", tmp_path / "out"), segment=1))
    (ours, _), theirs = load_fairseq(tmp_path / "out"), load_huggingface(source)
    order = order_of(tmp_path / "out")
    tokens = torch.tensor([[5, 9, 12, EOS]])
    with torch.no_grad():
        found = theirs(input_ids=order[tokens], token_type_ids=torch.ones_like(tokens))
        mine = ours(tokens)[0]
    assert float((found.prediction_logits[..., order] - mine).abs().max()) <= TOLERANCE


def test_half_precision_becomes_float32_and_comes_back(tmp_path: Path) -> None:
    source = MAKERS["gpt2"](tmp_path / "hf")
    load_huggingface(source).half().save_pretrained(source)
    found = convert(Conversion(("hf", source), ("fairseq", tmp_path / "out")))
    assert "float16" in found.notes[0]
    assert all(p.dtype == torch.float32 for p in load_fairseq(tmp_path / "out")[0].parameters())
    from_fairseq.write(tmp_path / "out" / "model.pt", None, tmp_path / "back")
    first, second = (load_huggingface(x).state_dict() for x in (source, tmp_path / "back"))
    assert {x.dtype for x in second.values()} == {torch.float16}
    assert all(torch.equal(first[n], second[n]) for n in first)
