"""Convert fairseq checkpoints: bit-equal if unchanged, else in the class that holds them."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("tokenizers")

import toy
from conversions import (
    LM,
    SMALL,
    TRANSLATION,
    changed,
    from_hf,
    load_hf,
    read_json,
    refusal,
    save_student,
    to_hf,
)
from hf_folders import MAKERS, REVERSIBLE, TEXT, T, marian
from lightpaff_fairseq.huggingface import from_fairseq
from lightpaff_fairseq.huggingface.text_back import compare_back

pytestmark = pytest.mark.hf

BEFORE = ["--encoder-normalize-before", "--decoder-normalize-before"]
LEARNED = ["--encoder-learned-pos", "--decoder-learned-pos"]
STUDENTS = {
    "mass": (["--arch", "transformer_mass_tiny", *SMALL, *TRANSLATION], "BartFor"),
    "mass, own encoder table": (
        ["--arch", "transformer_mass_student", *SMALL, *TRANSLATION],
        "Bart",
    ),
    "mass pre-training": (
        ["--arch", "mass_tiny", *SMALL, "--task", "masked_seq2seq", "--tokens-per-sample", 40],
        "BartFor",
    ),
    "mbart": (
        ["--arch", "transformer", *SMALL, *TRANSLATION, *BEFORE, *LEARNED, "--layernorm-embedding"],
        "MBart",
    ),
    "m2m": (["--arch", "transformer", *SMALL, *TRANSLATION, *BEFORE], "M2M100"),
    "fsmt": (["--arch", "transformer", *SMALL, *TRANSLATION], "FSMT"),
    "gpt2": (
        ["--arch", "transformer_lm_gpt2_micro", *LM, "--task", "language_modeling"]
        + ["--tokens-per-sample", 40],
        "GPT2LMHead",
    ),
    "bert": (
        ["--arch", "roberta_tiny", *SMALL[:8], "--task", "masked_lm", "--tokens-per-sample", 40],
        "RobertaForMaskedLM",
    ),
}
TABLES = {  # of positions, with the option that says how many
    "roberta": {"encoder.sentence_encoder.embed_positions.weight": "max_positions"},
    "gpt2": {"decoder.embed_positions.weight": "max_target_positions"},
    "bart": {
        "encoder.embed_positions.weight": "max_source_positions",
        "decoder.embed_positions.weight": "max_target_positions",
    },
}


def student(name, folder):
    """Return a checkpoint of a random student, and its data."""
    flags, _ = STUDENTS[name]
    write = toy.write_parallel if "translation" in flags else toy.write_monolingual
    data = write(folder / "data")
    save_student(data, folder / "student.pt", *flags, noise=0.05)
    return folder / "student.pt", data


@pytest.mark.slow
@pytest.mark.parametrize("family", REVERSIBLE)
def test_back_to_hugging_face_is_bit_equal(family: str, converted: Any, tmp_path: Path) -> None:
    source, out = converted(family)
    from_fairseq.write(out / "model.pt", None, tmp_path / "back")
    before, after = load_hf(source), load_hf(tmp_path / "back")
    assert read_json(source, "config.json") == read_json(tmp_path, "back", "config.json")
    first, second = before.state_dict(), after.state_dict()
    assert first.keys() == second.keys()
    assert [n for n in first if not torch.equal(first[n], second[n])] == []
    words = [
        T.AutoTokenizer.from_pretrained(x)(TEXT).input_ids for x in (source, tmp_path / "back")
    ]
    assert words[0] == words[1]


@pytest.mark.slow
def test_a_folded_segment_comes_back_as_the_same_function(converted: Any, tmp_path: Path) -> None:
    source, out = converted("bert classifier")
    from_fairseq.write(out / "model.pt", None, tmp_path / "back")
    tokens = torch.tensor([[3, 7, 9, 11, 4]])
    logits = [load_hf(x)(input_ids=tokens).logits for x in (source, tmp_path / "back")]
    assert torch.allclose(logits[0], logits[1], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("family", TABLES)
def test_a_model_of_fewer_positions_says_so(family, tmp_path):
    def cut(state):
        for name, key in TABLES[family].items():
            state["model"][name] = state["model"][name][:22].clone()
            state["cfg"]["model"][key] = 20

    path, data = changed(tmp_path, family, cut)
    to_hf(path, tmp_path / "back", "--data", data)
    assert compare_back(path, data, tmp_path / "back").difference <= 1e-4
    config = read_json(tmp_path, "back", "config.json")
    key = "n_positions" if family == "gpt2" else "max_position_embeddings"
    assert config[key] == (22 if family == "roberta" else 20)  # RoBERTa's count begins with <pad>


@pytest.mark.slow
def test_a_head_that_is_not_tied_any_more(tmp_path):
    def untie(state):
        name = "decoder.output_projection.weight"
        state["model"][name] = state["model"][name] + 1
        state["cfg"]["model"]["share_decoder_input_output_embed"] = False

    path, data = changed(tmp_path, "gpt2", untie)
    to_hf(path, tmp_path / "back", "--data", data)
    config = read_json(tmp_path, "back", "config.json")
    assert config["tie_word_embeddings"] is False


@pytest.mark.slow
def test_marian_does_not_go_back(tmp_path, capsys):
    path = from_hf(marian(tmp_path / "hf"), tmp_path / "out") / "model.pt"
    error = refusal(capsys, "--from", "fairseq", path, "--to", "hf", tmp_path / "back")
    assert f"--from fairseq {path}: " in error and "folded" in error


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDENTS)
def test_students_compute_the_same_in_their_class(name, tmp_path):
    path, data = student(name, tmp_path)
    out = to_hf(path, tmp_path / "hf")
    architecture = read_json(out, "config.json")["architectures"][0]
    assert architecture.startswith(STUDENTS[name][1])
    assert compare_back(path, data, out).difference <= 1e-4
    ids = T.AutoTokenizer.from_pretrained(out)("w3 w0 unheard").input_ids
    assert [i for i in ids if i not in (0, 2)] == [7, 4, 3]


@pytest.mark.slow
def test_a_classifier_takes_its_head_along(tmp_path):
    data = toy.write_labeled(tmp_path / "data")
    flags = ["--arch", "roberta_tiny", *SMALL[:8], "--task", "sentence_prediction"]
    flags += ["--criterion", "sentence_prediction", "--num-classes", 3, "--init-token", 0]
    path = tmp_path / "student.pt"
    model = save_student(data, path, *flags)
    out = to_hf(path, tmp_path / "hf")
    assert compare_back(path, data, out).difference <= 1e-5
    hf_model = T.RobertaForSequenceClassification.from_pretrained(out).eval()
    tokens = torch.tensor([[0, 5, 9, 2]])
    with torch.no_grad():
        logits = model(tokens, classification_head_name="sentence_classification_head")[0]
        assert torch.allclose(logits, hf_model(input_ids=tokens).logits, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "flags"),
    [
        ("bert", ["--arch", "roberta_tiny", *SMALL[:8], "--task", "masked_lm"]),
        ("gpt2", ["--arch", "transformer_lm_gpt2_micro", *LM, "--task", "language_modeling"]),
        ("marian", ["--arch", "transformer_mass_tiny", *SMALL, *TRANSLATION]),
    ],
)
def test_a_student_of_another_shape_keeps_its_teachers_tokenizer(family, flags, tmp_path):
    source = MAKERS[family](tmp_path / "hf")
    out = from_hf(source, tmp_path / "out", *(["--segment", 0] if family == "bert" else []))
    languages = ["source", "target"] if "translation" in flags else []
    flags = [*flags, *(["--source-lang", "source", "--target-lang", "target"] if languages else [])]
    flags += [] if languages else ["--tokens-per-sample", 40]
    text = [[*range(5, 12), 2]] * 3
    for name in [f"train.source-target.{x}" for x in languages] or ["train"]:
        toy.write_split(out / name, text)
    path = tmp_path / "student.pt"
    save_student(out, path, *flags)
    to_hf(path, tmp_path / "student", "--data", out)
    assert compare_back(path, out, tmp_path / "student").difference <= 1e-4
    loaded = [T.AutoTokenizer.from_pretrained(x) for x in (source, tmp_path / "student")]
    assert loaded[0](TEXT).input_ids == loaded[1](TEXT).input_ids
