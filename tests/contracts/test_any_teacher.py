"""Every fairseq teacher of docs/teachers.md: two updates of a student, the value of the loss."""

import copy
import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import torch
from fairseq import options

import toy
from cases import classes, symbols
from foreign_teachers import BOTH, BY_NAME, NLLB, POSITIONS, ROWS, STUDENT, Row, sizes
from lightpaff_fairseq.cli.main import build_parser, main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "teachers.md"


def naive_divergence(row, task, teacher, student, sample):
    """KL(teacher || student) of the labeled positions, from all logits in float64."""
    predict = classes if row.criterion == "kd_lu" else symbols
    models = [copy.deepcopy(model).double().eval() for model in (teacher, student)]
    with torch.no_grad():
        logits, target = zip(*(predict(model, sample) for model in models))
    q, p = (x.log_softmax(-1) for x in logits)
    kl = (q.exp() * (q - p)).sum(-1)
    return kl[target[0].ne(task.source_dictionary.pad())].sum() if kl.dim() > 1 else kl.sum()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_student_learns_from_it(row, tmp_path):
    data, teacher, path = row.save_teacher(tmp_path)
    kd = ("--criterion", row.criterion, "--kd-teacher", path, "--kd-lambda", 1)
    argv = row.argv(data, row.student, *kd)
    toy.train(*argv, "--lr", 0.01, "--max-update", 2, "--save-dir", tmp_path / "s")
    state = toy.checkpoint(tmp_path / "s" / "checkpoint_last.pt")
    assert state["optimizer_history"][-1]["num_updates"] == 2

    task, student, criterion = toy.build(*argv)
    dataset = task.dataset("train")
    sample = dataset.collater([dataset[i] for i in range(min(6, len(dataset)))])
    loss, _, log = criterion.train()(student.eval(), sample)
    expected = naive_divergence(row, task, teacher, student, sample)
    assert expected > 0 and log["kd_positions"] > 0
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def refusal(row, tmp_path, student_task=None):
    """With which error a training stops."""
    data, _, path = row.save_teacher(tmp_path)
    row = dataclasses.replace(row, task=student_task or row.task)
    kd = ("--criterion", row.criterion, "--kd-teacher", path, "--max-update", 1, "--lr", 0.01)
    with pytest.raises(ValueError) as caught:
        toy.train(*row.argv(data, row.student, *kd, "--save-dir", tmp_path / "s"))
    return str(caught.value)


MASS = ("--arch", "mass_tiny", *POSITIONS)
ROUND_ROBIN = ("--task", "multilingual_translation", "--lang-pairs", "sv-en", "--decoder-langtok")
FAMILY = ("--arch", "multilingual_transformer", *sizes(BOTH, 16, 1), *POSITIONS)
ALL_AT_ONCE = ("--arch", "nonautoregressive_transformer", *sizes(BOTH, 16, 1), *POSITIONS)
REFUSED = [
    (
        dataclasses.replace(BY_NAME["bart, denoising"], criterion="kd_mssm", student=MASS),
        r"kd_mssm needs a model of --task masked_seq2seq .* got BARTModel",
    ),
    (
        Row("multi", "kd_ss", ROUND_ROBIN, toy.write_parallel, FAMILY, FAMILY),
        r"kd_ss needs an encoder-decoder as its teacher, got MultilingualTransformerModel",
    ),
    (
        Row(
            "nat", "kd_ss", ("--task", "translation_lev"), toy.write_parallel, ALL_AT_ONCE, STUDENT
        ),
        r"predicts one token after another, got NATransformerModel",
    ),
    (
        dataclasses.replace(BY_NAME["gpt, fine-tuning"], criterion="kd_ss"),
        r"--criterion kd_ss: expected an encoder-decoder as the student, got TransformerLanguage",
    ),
]


@pytest.mark.parametrize("row,message", REFUSED, ids=lambda x: getattr(x, "name", ""))
def test_what_cannot_teach_says_why(row, message, tmp_path):
    assert re.search(message, refusal(row, tmp_path))


@pytest.mark.parametrize("name,symbol", [("nllb, m2m", "__"), ("mbart, translation", "[")])
def test_language_tokens_of_the_teacher_only_are_named(name, symbol, tmp_path):
    """A student of plain translation has no language tokens in its dictionary."""
    message = refusal(BY_NAME[name], tmp_path, student_task=("--task", "translation"))
    assert "dictionaries differ: symbol 31 " in message
    assert f"'{symbol}" in message and "exists only in the teacher's" in message


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nllb, m2m", "mbart, translation", "bart, translation"])
def test_seq_kd_leads_from_language_tokens_to_a_plain_student(name, tmp_path, capsys):
    row = BY_NAME[name]
    data, _, path = row.save_teacher(tmp_path)
    task = (*row.task, *(("-s", "sv", "-t", "en") if row.task == NLLB else ()))
    flags = (
        "--beam",
        2,
        "--max-len-b",
        6,
        "--keep-cut",
        "--nbest",
        2,
        "--cpu",
        "--num-workers",
        0,
        "--out",
    )
    out = tmp_path / "out"
    words = ("seq-kd", data, *task, "--path", path, *flags, out, "--max-tokens", 300)
    assert main([str(x) for x in words]) == 0, capsys.readouterr().err
    task, student, _ = toy.build(out, "--task", "translation", *STUDENT)
    dataset = task.dataset("train")
    ids = torch.cat(
        [torch.cat([x["source"], x["target"]]) for x in (dataset[i] for i in range(20))]
    )
    assert len(task.target_dictionary) == 31 and ids.max() < 31
    targets = [dataset[i]["target"].tolist() for i in range(len(dataset))]
    assert all(x[-1] == 2 and 2 not in x[:-1] and len(x) > 1 for x in targets)


def test_the_page_has_every_row_and_no_other():
    works, _, fails = PAGE.read_text(encoding="utf-8").partition("## Commands")
    rows = re.compile(r"^\| ([^|]+) \| `(kd_\w+)` \|", re.MULTILINE)
    assert rows.findall(works) == [(row.name, row.criterion) for row in ROWS]
    assert [kind for _, kind in rows.findall(fails)] == [row.criterion for row, _ in REFUSED]


def commands():
    """Words of every command of the page, its `...` left out."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ").replace("$langs", "en_XX,ro_RO")
    lines = re.findall(r"^(fairseq-train|lightpaff) (.*)$", text, re.MULTILINE)
    return [(name, shlex.split(line.replace("...", ""), comments=True)) for name, line in lines]


def test_every_command_of_the_page_is_one():
    """fairseq's own parsers take every flag."""
    lines = commands()
    assert len(lines) == 17
    for name, words in lines:
        if name == "fairseq-train":
            parser, words = options.get_training_parser(), [*words, "--optimizer", "adam"]
        else:
            args, words = build_parser().parse_known_args(words)
            assert args.command in ("cache-teacher", "seq-kd", "vocabulary-map")
            if args.command == "vocabulary-map":
                assert not words
                continue
            parser = options.get_generation_parser()
        options.parse_args_and_arch(parser, words)
