"""A text in on both sides: fairseq's task, as `convert` prints it, and the tokenizer."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq import checkpoint_utils

pytest.importorskip("tokenizers")

from conversions import check_refused, copy_of, edit_config, load_hf, order_of, read_json
from hf_folders import LANGUAGES, MAKERS, TEXT, T
from lightpaff_fairseq.huggingface import hf_parity, text_parity, to_fairseq
from lightpaff_fairseq.huggingface.conversion import Conversion
from lightpaff_fairseq.huggingface.families.registry import FAMILIES
from lightpaff_fairseq.huggingface.tokenizers import encoder

pytestmark = [pytest.mark.hf, pytest.mark.slow]

FOLDERS = 16
# What the models were trained with: T is the text, S and G the languages
READ = {
    "roberta": "<s> T </s>",
    "xlm-r": "<s> T </s>",
    "bert": "[CLS] T [SEP]",
    "distilbert": "[CLS] T [SEP]",
    "bart": "<s> T </s>",
    "scaled bart": "<s> T </s>",
    "mbart": "T </s> S",
    "mbart50": "S T </s>",
    "nllb": "S T </s>",
    "m2m": "S T </s>",
    "marian": "T </s>",
}
STARTS = {  # of the decoder, without what the model chooses itself
    "bart": "</s>",
    "scaled bart": "</s>",
    "mbart": "G",
    "mbart50": "</s> G",
    "nllb": "</s> G",
    "m2m": "</s> G",
    "marian": "<pad>",
}


def tokenizer_of(source: Path, name: str) -> Any:
    tokenizer = T.AutoTokenizer.from_pretrained(source)
    if name in LANGUAGES:
        tokenizer.src_lang, tokenizer.tgt_lang = LANGUAGES[name]
    return tokenizer


def load(out: Path, name: str) -> tuple[Any, Any, Any]:
    """Return (model, task, configuration) as fairseq-interactive with -s and -t loads them."""
    pair = LANGUAGES.get(name, ("source", "target"))
    names = dict(zip(("source_lang", "target_lang"), pair)) if name in STARTS else {}
    models, cfg, task = checkpoint_utils.load_model_ensemble_and_task(
        [str(out / "model.pt")], arg_overrides={"data": str(out), **names}
    )
    return models[0].eval(), task, cfg


def filled(template: str, text: list[int], name: str, tokenizer: Any) -> list[int]:
    """Put a text and the ids of languages and special tokens into a template."""
    source, target = LANGUAGES.get(name, ("", ""))
    if name == "m2m":
        source, target = f"__{source}__", f"__{target}__"
    ids = {"T": text}
    for token in ("<s>", "</s>", "<pad>", "[CLS]", "[SEP]"):
        ids[token] = [tokenizer.convert_tokens_to_ids(token)]
    ids["S"], ids["G"] = ([tokenizer.convert_tokens_to_ids(x)] for x in (source, target))
    return [i for part in template.split() for i in ids[part]]


def test_every_family_is_compared(converted: Any) -> None:
    types = {read_json(converted(name)[0], "config.json")["model_type"] for name in MAKERS}
    assert types == set(FAMILIES) and len(MAKERS) == FOLDERS


@pytest.mark.parametrize("name", READ)
def test_the_encoder_reads_what_the_tokenizer_makes(name: str, converted: Any) -> None:
    """Of fairseq-interactive's own batches, in Hugging Face's numbers."""
    source, out = converted(name)
    (_, task, _), order, tokenizer = load(out, name), order_of(out), tokenizer_of(source, name)
    encode = encoder(out)
    for line in TEXT:
        ids = task.source_dictionary.encode_line(encode(line), add_if_not_exist=False).long()
        dataset = task.build_dataset_for_inference([ids], [len(ids)])
        (row,) = dataset.collater([dataset[0]])["net_input"]["src_tokens"]
        plain = tokenizer(line, add_special_tokens=False).input_ids
        expected = filled(READ[name], plain, name, tokenizer)
        assert order[row].tolist() == expected == tokenizer(line).input_ids


@pytest.mark.parametrize("name", STARTS)
def test_the_decoder_starts_with_what_generate_starts_with(
    name: str, converted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = converted(name)
    (model, task, cfg), order = load(out, name), order_of(out)
    tokenizer, hf_model = tokenizer_of(source, name), load_hf(source)
    read: list[list[int]] = []
    forward = model.decoder.forward  # the generator calls it without hooks

    def record(tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        read.append(tokens[0].tolist())
        return forward(tokens, *args, **kwargs)

    monkeypatch.setattr(model.decoder, "forward", record)
    cfg.generation.beam, cfg.generation.max_len_b = 1, 4
    generator = task.build_generator([model], cfg.generation)
    ids = torch.tensor([8, 9, task.source_dictionary.eos()])
    dataset = task.build_dataset_for_inference([ids], [3])
    task.inference_step(generator, [model], dataset.collater([dataset[0]]))
    expected = filled(STARTS[name], [], name, tokenizer)
    start = order[max(read, key=len)[: len(expected)]].tolist()
    if name == "marian":  # its </s> has the row of <pad>
        start = [hf_model.config.pad_token_id if i == tokenizer.eos_token_id else i for i in start]
    assert start == expected
    options = {"forced_bos_token_id": expected[1]} if len(expected) > 1 else {}
    options |= {"decoder_start_token_id": expected[0]} if name == "mbart" else {}
    batch = tokenizer(TEXT[0], return_tensors="pt")
    output = hf_model.generate(**batch, **options, max_new_tokens=2, num_beams=1, do_sample=False)
    assert output[0, : len(expected)].tolist() == expected


@torch.no_grad()
@pytest.mark.parametrize("name", ["nllb", "bert pairs"])
def test_logits_are_those_of_what_stands_around_a_text(name: str, converted: Any) -> None:
    """A changed language, or second segment, of one model shows: both are read with the text."""
    source, out = converted(name)
    hf_model, order, tokenizer = load_hf(source), order_of(out), tokenizer_of(source, name)
    pair = LANGUAGES.get(name, ("source", "target"))
    (model, _, cfg), ids = load(out, name), order.tolist()
    readings = text_parity.read_on_both_sides((cfg, out), hf_model, tokenizer, ids, pair)
    texts = [*((text,) for text in text_parity.TEXTS), text_parity.PAIR][: len(readings.pairs)]
    assert [hf.source for _, hf in readings.pairs] == [tokenizer(*x).input_ids for x in texts]
    assert [order[own.source].tolist() for own, _ in readings.pairs] == [
        hf.source for _, hf in readings.pairs
    ]
    same = hf_parity.compare_logits((model, hf_model), order.tolist(), readings.pairs)
    assert same.difference <= 1e-5 and same.inputs == f"{2 + (name != 'nllb')} texts"
    if name == "nllb":
        hf_model.model.shared.weight[tokenizer.convert_tokens_to_ids(pair[0]), 0] += 5
    else:
        hf_model.bert.embeddings.token_type_embeddings.weight[1, 0] += 5
    with pytest.raises(ValueError, match="the converted model differs: expected logits"):
        hf_parity.compare_logits((model, hf_model), order.tolist(), readings.pairs).check()


def test_mbart_50_is_not_taken_for_mbart(converted: Any) -> None:
    """Its language is in front: the task of mBART puts it behind the text."""
    cfg, flags = (
        load(converted("mbart50")[1], "mbart50")[2],
        load(converted("mbart")[1], "mbart")[2],
    )
    assert cfg.task._name == "translation_multi_simple_epoch"
    assert (cfg.task.encoder_langtok, cfg.task.decoder_langtok) == ("src", True)
    assert cfg.task.lang_tok_style == "mbart"
    assert flags.task._name == "translation_from_pretrained_bart"


def test_the_wrong_task_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(to_fairseq._Source, "first_token", "not a language")
    folder = MAKERS["mbart50"](tmp_path / "hf")
    words = ("--task translation_from_pretrained_bart reads, ▁", "</s> en_XX, got en_XX ▁")
    check_refused(capsys, folder, *words, more=("--langs", "en_XX", "de_DE"))


def test_nllb_of_the_legacy_layout_is_refused(tmp_path, capsys):
    folder = MAKERS["nllb"](tmp_path / "hf")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "legacy_behaviour": True}))
    words = ("legacy_behaviour to false", "</s> eng_Latn; set", "eng_Latn ▁")
    check_refused(capsys, folder, *words, more=("--langs", "eng_Latn", "deu_Latn"))


def test_a_tokenizer_that_adds_nothing_is_refused(converted, tmp_path, capsys):
    folder = copy_of(converted("roberta")[0], tmp_path / "hf")
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "post_processor": None}))
    check_refused(capsys, folder, "--task masked_lm reads, <s>", "as text what")


def test_a_model_that_always_writes_another_language_is_refused(converted, tmp_path, capsys):
    folder = copy_of(converted("nllb")[0], tmp_path / "hf")
    order = order_of(converted("nllb")[1])
    edit_config(folder, forced_bos_token_id=int(order[-1]) - 2)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "forced_bos_token_id": 5}))
    words = ("forced_bos_token_id: expected the target's first token, deu_Latn, got",)
    check_refused(capsys, folder, *words, more=("--langs", "eng_Latn", "deu_Latn"))


def test_another_start_of_the_decoder_is_refused(converted, tmp_path, capsys):
    folder = copy_of(converted("mbart50")[0], tmp_path / "hf")
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "decoder_start_token_id": 0}))
    words = ("decoder_start_token_id: expected </s>, got <s>",)
    check_refused(capsys, folder, *words, more=("--langs", "en_XX", "de_DE"))


@pytest.mark.parametrize(("name", "word"), [("bart", 'write "<s> "'), ("gpt2", "<|endoftext|>")])
def test_what_the_user_has_to_add_is_said(name: str, word: str, tmp_path: Path) -> None:
    source = MAKERS[name](tmp_path / "hf")
    made = to_fairseq.convert(Conversion(("hf", source), ("fairseq", tmp_path / "out")))
    (note,) = made.notes
    assert word in note


def test_a_failed_comparison_of_texts_leaves_nothing(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(text_parity, "hf_reading", lambda *_: text_parity.Reading([1], []))
    check_refused(capsys, source, "tokenizer: expected", out=tmp_path / "out")


@pytest.mark.slow
def test_the_command_prints_its_lines_alone(converted: Any, tmp_path: Path) -> None:
    """Reading texts with fairseq's task logs a lot, and importing fairseq turns logging on."""
    words = ["--from", "hf", converted("gpt2")[0], "--to", "fairseq", tmp_path / "out"]
    command = [sys.executable, "-m", "lightpaff_fairseq.cli.main", "convert", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split(" ")[0] for line in done.stdout.splitlines()[1:]] == [
        *("compared:", "note:", "model:", "text,")
    ]
    assert not [line for line in done.stderr.splitlines() if line.startswith(("INFO", "DEBUG"))]
