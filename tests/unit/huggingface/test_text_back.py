"""Text is compared on the way back, too; a multilingual model does not lose its languages."""

import json
import shutil

import pytest

pytest.importorskip("tokenizers")

import toy
from conversions import LM, SMALL, TRANSLATION, refusal, save_student
from hf_folders import T
from lightpaff_fairseq.huggingface import from_fairseq, tokenizers
from lightpaff_fairseq.huggingface.conversion import Conversion
from lightpaff_fairseq.huggingface.text_parity import NO_PAIRS

pytestmark = [pytest.mark.hf, pytest.mark.slow]

CLASSES = ["--task", "sentence_prediction", "--criterion", "sentence_prediction"]
CLASSES += ["--num-classes", 3, "--max-positions", 40]
STUDENTS = {
    "BART": (toy.write_parallel, ["--arch", "transformer_mass_tiny", *SMALL, *TRANSLATION]),
    "FSMT": (toy.write_parallel, ["--arch", "transformer", *SMALL, *TRANSLATION]),
    "GPT-2": (
        toy.write_monolingual,
        ["--arch", "transformer_lm_gpt2_micro", *LM, "--task", "language_modeling"],
    ),
    "RoBERTa": (
        toy.write_monolingual,
        ["--arch", "roberta_tiny", *SMALL[:8], "--task", "masked_lm", "--tokens-per-sample", 40],
    ),
    "classifier": (
        toy.write_labeled,
        ["--arch", "roberta_tiny", *SMALL[:8], *CLASSES, "--init-token", 0],
    ),
}


def student(name, folder):
    write, flags = STUDENTS[name]
    data = write(folder / "data")
    save_student(data, folder / "student.pt", *flags, noise=0.05)
    return folder / "student.pt"


def back(path, out, *data):
    return Conversion(("fairseq", path), ("hf", out), data=data[0] if data else None)


@pytest.mark.parametrize("name", STUDENTS)
def test_a_tokenizer_that_adds_something_else_is_refused(name, tmp_path, capsys, monkeypatch):
    path = student(name, tmp_path)
    notes = from_fairseq.convert(back(path, tmp_path / "right")).notes
    assert not [note for note in notes if "text" in note]
    wrong = "$A" if name in ("RoBERTa", "classifier") else "<s> $A </s>"
    ends = dict.fromkeys(("roberta", "gpt2", "bart", "fsmt"), wrong)
    monkeypatch.setattr(tokenizers, "ENDS", ends)
    error = refusal(capsys, "--from", "fairseq", path, "--to", "hf", tmp_path / "wrong")
    assert "tokenizer: expected of 'w0 w1 w2 nobodyknowsthisword' as text what fairseq's" in error
    assert "w0 w1 w2 <unk>" in error and not (tmp_path / "wrong").exists()


@pytest.mark.parametrize("separator", [None, 2, 5])
def test_pairs_are_read_with_the_separator_of_the_training(separator, tmp_path):
    data = toy.write_labeled(tmp_path / "data")
    flags = ["--arch", "roberta_tiny", *SMALL[:8], *CLASSES, "--init-token", 0]
    flags += [] if separator is None else ["--separator-token", separator]
    save_student(data, tmp_path / "student.pt", *flags, noise=0.05)
    done = from_fairseq.convert(back(tmp_path / "student.pt", tmp_path / "hf"))
    ids = T.AutoTokenizer.from_pretrained(tmp_path / "hf")("w0", "w1").input_ids
    assert (NO_PAIRS in done.notes) == (separator == 5)
    middle = [] if separator is None else [separator]
    assert separator == 5 or ids == [0, 4, 2, *middle, 5, 2]
    assert done.compared.inputs == ("1 text" if separator == 5 else "2 texts")


def test_a_task_that_adds_nothing_is_refused(tmp_path, capsys):
    path = student("classifier", tmp_path)
    state = toy.checkpoint(path)
    state["cfg"]["task"]["init_token"] = None
    toy.torch.save(state, path)
    error = refusal(capsys, "--from", "fairseq", path, "--to", "hf", tmp_path / "hf")
    assert "--task sentence_prediction reads, w0 w1" in error and "got <s> w0" in error


def test_what_cannot_be_compared_is_said(tmp_path):
    flags = ["--arch", "mass_tiny", *SMALL, "--task", "masked_seq2seq", "--tokens-per-sample", 40]
    data = toy.write_monolingual(tmp_path / "data")
    save_student(data, tmp_path / "student.pt", *flags, noise=0.05)
    (note,) = from_fairseq.convert(back(tmp_path / "student.pt", tmp_path / "hf")).notes
    assert "--task masked_seq2seq" in note and "was not compared" in note


@pytest.mark.parametrize("name", ["gpt2", "roberta", "bart"])
def test_a_tokenizer_that_was_changed_meanwhile_is_refused(name, converted, tmp_path, capsys):
    out = shutil.copytree(converted(name)[1], tmp_path / "out")
    notes = from_fairseq.convert(back(out / "model.pt", tmp_path / "right")).notes
    assert all("compared" not in note for note in notes)
    path = out / "huggingface" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["normalizer"] = {"type": "Lowercase"}
    path.write_text(json.dumps(content))
    argv = ("--from", "fairseq", out / "model.pt", "--to", "hf", tmp_path / "wrong")
    assert "tokenizer: expected of 'The cat" in refusal(capsys, *argv)
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize("name", ["mbart", "mbart50", "nllb", "m2m"])
def test_a_multilingual_model_needs_its_own_tokenizer(name, converted, tmp_path, capsys):
    out = shutil.copytree(converted(name)[1], tmp_path / "out")
    from_fairseq.convert(back(out / "model.pt", tmp_path / "right"))
    shutil.rmtree(out / "huggingface")
    argv = ("--from", "fairseq", out / "model.pt", "--to", "hf", tmp_path / "wrong")
    error = refusal(capsys, *argv)
    assert "a multilingual model needs the tokenizer that it came with" in error
    assert not (tmp_path / "wrong").exists()
