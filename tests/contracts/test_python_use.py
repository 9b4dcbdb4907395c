"""Run the code of docs/python_use.md on tiny students; check what loggers are told."""

import re
from pathlib import Path

import pytest
import sentencepiece
import torch
from fairseq import tasks
from fairseq.data import Dictionary
from fairseq.logging import progress_bar

import toy
from cases import CASES
from lightpaff_fairseq.cli.main import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python_use.md"
BY_NAME = {case.name: case for case in CASES}
TEXT = ["Jag vill ha kaffe.", "A fine, moving film.", "The film was released in 2005 ."]


def blocks():
    """The Python code of the page, one text per block."""
    text = PAGE.read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(code) == 3
    return code


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as the page's code expects it, with stripped students of random weights."""
    folder = tmp_path_factory.mktemp("use")
    (folder / "text").write_text("\n".join(TEXT * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "spm"),
        vocab_size=48,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    dictionary = Dictionary()
    for i in range(3, pieces.get_piece_size()):
        dictionary.add_symbol(pieces.id_to_piece(i), n=1)
    (folder / "models").mkdir()
    for name, data, model in (
        ("kd_ss", "data-bin/sv-en", "translator"),
        ("kd_lu", "data-bin/sst2", "classifier"),
        ("kd_lm", "data-bin/text", "lm"),
    ):
        case = BY_NAME[name]
        case.data(folder / data)
        for path in (folder / data).rglob("dict*.txt"):
            if path.parent.name != "label":
                dictionary.save(str(path))
        cfg = toy.parse(*case.argv(folder / data, "--max-tokens", 99))
        torch.manual_seed(3)
        student = tasks.setup_task(cfg.task).build_model(cfg.model)
        path = toy.save_model(folder / f"{model}.full.pt", cfg, student)
        out = folder / "models" / f"{model}.pt"
        assert main(["strip", "--path", str(path), "--out", str(out)]) == 0
    return folder


def execute(code, place, monkeypatch):
    monkeypatch.chdir(place)
    names = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def test_a_student_translates(place, monkeypatch):
    names = execute(blocks()[0], place, monkeypatch)
    student, (sentence,) = names["student"], names["english"]
    tokens = student.encode(TEXT[0])
    assert len(tokens) > 3 and student.src_dict.unk() not in tokens  # they are pieces
    best = student.generate([tokens], beam=5)[0][0]["tokens"]
    assert sentence == student.decode(best)
    assert len(student.translate(["Jag vill."] * 3)) == 3  # none is dropped


def test_a_student_classifies(place, monkeypatch):
    names = execute(blocks()[1], place, monkeypatch)
    student = names["student"]
    tokens = student.encode(TEXT[1])
    head = "sentence_classification_head"
    logits = student.model(tokens[None], features_only=True, classification_head_name=head)[0]
    assert torch.allclose(names["lprobs"], logits.log_softmax(-1), atol=1e-6)
    assert names["label"] == str(logits.argmax().item())


def test_a_student_scores(place, monkeypatch):
    names = execute(blocks()[2], place, monkeypatch)
    student = names["student"]
    tokens = student.encode(TEXT[2])
    given = torch.cat([tokens[-1:], tokens[:-1]])[None]
    lprobs = student.models[0](given)[0].log_softmax(-1)[0, torch.arange(len(tokens)), tokens]
    lprobs = lprobs[:-1]  # fairseq does not score the end of the sentence here
    assert torch.allclose(names["lprobs"], lprobs, atol=1e-5)
    assert names["perplexity"].item() == pytest.approx((-lprobs.mean()).exp().item(), rel=1e-5)


def test_loggers_are_told_of_distillation(tmp_path, monkeypatch):
    """tensorboardX is not needed for the tests: what it would be told is recorded."""
    scalars = {}

    class Writer:
        def __init__(self, folder):
            self.part = Path(folder).name

        def add_text(self, *_args):
            pass

        def add_scalar(self, key, value, step):
            scalars.setdefault(self.part, {})[key] = float(value)

        def flush(self):
            pass

        close = flush

    monkeypatch.setattr(progress_bar, "SummaryWriter", Writer)
    monkeypatch.setattr(progress_bar, "_tensorboard_writers", {})
    case = BY_NAME["kd_ss"]
    cfg = toy.parse(*case.argv(case.data(tmp_path / "data"), "--max-tokens", 99))
    teacher = tasks.setup_task(cfg.task).build_model(cfg.model)
    path = toy.save_model(tmp_path / "t.pt", cfg, teacher)
    kd = ("--criterion", "kd_ss", "--kd-teacher", path, "--kd-hidden-weight", 1)
    flags = ("--lr", 0.01, "--max-tokens", 99, "--max-epoch", 1, "--log-interval", 1)
    where = ("--save-dir", tmp_path / "s", "--tensorboard-logdir", tmp_path / "board")
    toy.train(*case.argv(tmp_path / "data", *kd, *flags, *where))
    stock = {"loss", "nll_loss", "ppl"}
    assert scalars["train"].keys() >= {"kd_loss", "kd_hidden", *stock}
    assert scalars["train_inner"].keys() >= {"kd_loss", "kd_hidden", *stock}
    assert (
        scalars["valid"].keys() >= stock and not {"kd_loss", "kd_hidden"} & scalars["valid"].keys()
    )
    assert scalars["train"]["kd_loss"] > 0
