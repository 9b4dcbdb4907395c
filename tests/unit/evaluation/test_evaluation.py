"""`lightpaff evaluate`: what it counts, parses, refuses and prints."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lightpaff_fairseq.cli import evaluate
from lightpaff_fairseq.cli.main import build_parser, main
from lightpaff_fairseq.evaluation import fairseq_command, translation
from lightpaff_fairseq.evaluation.markdown_table import SIZE, format_table
from lightpaff_fairseq.evaluation.model_comparison import Scored, compare, p_value
from lightpaff_fairseq.evaluation.model_rows import ModelFile, add_ratios, count_parameters
from toy import build, write_parallel

REFERENCES = ["The cat sat on the mat.", "I do not know.", "Where is it now?", "She left early."]


def output(hypotheses, speed="12.50"):
    """What fairseq-generate prints, sentences in the order of batches and not of the split."""
    lines = []
    for i in reversed(range(len(hypotheses))):
        lines += [
            f"S-{i}\tkälla",
            f"T-{i}\tmål",
            f"H-{i}\t-0.5\traw",
            f"D-{i}\t-0.5\t{hypotheses[i]}",
        ]
        lines += [f"P-{i}\t-0.1 -0.2"]
    return "\n".join(
        lines
    ), f"INFO | Translated 4 sentences (9 tokens) in 1.0s ({speed} sentences/s, 9 tokens/s)"


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Data folder, references, a checkpoint, and a fairseq-generate whose answers a test sets."""
    (tmp_path / "data").mkdir()
    (tmp_path / "ref").write_text("\n".join(REFERENCES) + "\n", encoding="utf-8")
    for name, width in (("a", 8), ("b", 4)):
        save_checkpoint(tmp_path / f"{name}.pt", width)
    calls, answers = [], []

    def run(command, **_):
        calls.append(command)
        stdout, stderr = answers[(len(calls) - 1) % len(answers)]
        return SimpleNamespace(returncode=0, stdout=stdout, stderr=stderr)

    monkeypatch.setattr(fairseq_command.subprocess, "run", run)
    return SimpleNamespace(path=tmp_path, calls=calls, answers=answers)


def save_checkpoint(path: Path, width: int) -> None:
    embedding = torch.randn(10, width)
    state = {"encoder.embed_tokens.weight": embedding, "decoder.embed_tokens.weight": embedding}
    cfg = {"model": Namespace(arch="transformer"), "task": {}, "criterion": {}}
    history = [
        {"num_updates": 1, "criterion_name": "C", "optimizer_name": "A", "lr_scheduler_state": {}}
    ]
    position = {"train_iterator": {"epoch": 1}}
    torch.save(
        {
            "args": None,
            "cfg": cfg,
            "model": state,
            "optimizer_history": history,
            "extra_state": position,
        },
        path,
    )


def run_cli(world, *more):
    paths = [str(world.path / f"{name}.pt") for name in ("a", "b")]
    command = ["evaluate", str(world.path / "data"), "--path", *paths]
    return main([*command, "--references", str(world.path / "ref"), *more])


def test_tied_matrices_count_once_and_buffers_not_at_all():
    shared = torch.randn(7, 3)
    state = {
        "encoder.embed_tokens.weight": shared,
        "decoder.embed_tokens.weight": shared,  # the same memory
        "decoder.output_projection.weight": shared.clone(),  # a copy, as a file from a GPU has
        "encoder.version": torch.ones(1),
        "encoder.embed_positions._float_tensor": torch.ones(1),
        "a.bias": torch.zeros(5),
        "b.bias": torch.zeros(5),  # equal but not tied
        "c.weight": torch.randn(7, 3),
    }
    assert count_parameters(state) == 21 + 5 + 5 + 21


def test_parameters_of_a_tied_transformer_are_those_of_the_module(tmp_path):
    folder = write_parallel(tmp_path / "data")
    small = ("--encoder-embed-dim", 8, "--encoder-ffn-embed-dim", 8, "--encoder-layers", 1)
    flags = ("--decoder-embed-dim", 8, "--decoder-ffn-embed-dim", 8, "--decoder-layers", 1)
    tied = ("--share-decoder-input-output-embed", "--encoder-attention-heads", 2)
    _, model, _ = build(
        folder, "--arch", "transformer", *small, *flags, *tied, "--decoder-attention-heads", 2
    )
    assert count_parameters(model.state_dict()) == sum(p.numel() for p in model.parameters())


def test_hypotheses_are_the_detokenised_best_ones():
    text = (
        "S-1\tx\nD-1\t-0.1\tbest\nD-1\t-0.9\tsecond\nD-0\t-1\t\nH-2\t-1\tno\nD-3\t-1\ta\tb\u2028c"
    )
    assert translation.parse_hypotheses(text) == {1: "best", 0: "", 3: "a\tb\u2028c"}


def test_scores_are_of_the_right_pairs(world, capsys):
    """Shuffled output is put in order; a perfect system has 100, and speed is a median."""
    worse = [REFERENCES[0], "I know not.", "", "She went."]
    perfect = REFERENCES
    world.answers += [output(perfect, "10"), output(worse, "40")]  # a and b, in turn
    world.answers += [output(perfect, "30"), output(worse, "60")]
    world.answers += [output(perfect, "20"), output(worse, "50")]
    out = world.path / "results.json"
    assert run_cli(world, "--out", str(out), "--repeats", "3", "--name", "T", "S") == 0
    rows = json.loads(out.read_text())
    assert [row["name"] for row in rows] == ["T", "S"]
    assert rows[0]["bleu"] == 100 and rows[0]["chrf"] == 100
    assert 0 < rows[1]["bleu"] < 100 and 0 < rows[1]["chrf"] < 100
    assert [row["sentences_per_s"] for row in rows] == [20, 50]
    assert [row["params"] for row in rows] == [80, 40]
    assert [row["times_smaller"] for row in rows] == [1, 2]
    assert [row["times_faster"] for row in rows] == [1, 2.5]
    assert "tok:13a" in rows[0]["bleu_signature"] and "nw:0" in rows[0]["chrf_signature"]
    printed = capsys.readouterr().out
    assert "| T " in printed and "tok:13a" in printed and "2.5x" in printed


def test_models_take_turns_and_no_sentence_is_dropped(world):
    world.answers.append(output(REFERENCES))
    run_cli(world, "--repeats", "2", "--beam", "3", "--generate-flags", "--lenpen 0.6 --cpu")
    used = [Path(call[call.index("--path") + 1]).stem for call in world.calls]
    assert used == ["a", "b", "a", "b"]
    for call in world.calls:
        assert call[:3] == [sys.executable, "-m", "fairseq_cli.generate"]
        assert call[call.index("--required-batch-size-multiple") + 1] == "1"
        assert call[call.index("--beam") + 1] == "3" and call[-3:] == ["--lenpen", "0.6", "--cpu"]
        assert "--user-dir" not in call


@pytest.mark.parametrize("count", [0, 3, 5])
def test_a_missing_or_extra_translation_is_an_error(world, count, capsys):
    world.answers.append(output([*REFERENCES, "extra"][:count]))
    assert run_cli(world, "--out", str(world.path / "r.json")) == 2
    error = capsys.readouterr().err
    assert (
        "expected a translation for each of the 4 lines" in error and f"returned {count}" in error
    )
    assert not (world.path / "r.json").exists()


def test_a_failing_fairseq_generate_is_quoted(world, monkeypatch, capsys):
    failed = SimpleNamespace(returncode=1, stdout="", stderr="a\nRuntimeError: no such task")
    monkeypatch.setattr(fairseq_command.subprocess, "run", lambda *_, **__: failed)
    assert run_cli(world) == 2
    assert "no such task" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--name", "x"], "--name: expected 2 names"),
        (["--name", "x", "x"], "--name: expected different"),
        (["--repeats", "0"], "--repeats: expected 1 or more, found 0"),
        (["--beam", "0"], "--beam: expected 1 or more, found 0"),
        (["--compare", "a", "c"], "found ['c']"),
        (["--references", "nowhere"], "--references nowhere"),
        (["--out", "no/r.json"], f"--out no/r.json: the folder {Path.cwd() / 'no'} does not exist"),
        (["--out", "."], "--out .: expected a file name, found a folder"),
        (["--path", "nowhere.pt"], "--path nowhere.pt: no such file"),
    ],
)
def test_bad_flags_are_refused_before_any_translation(world, flags, words, capsys):
    world.answers.append(output(REFERENCES))
    assert run_cli(world, *flags) == 2
    assert words in capsys.readouterr().err
    assert not world.calls


def test_references_that_are_no_text_are_named(world, capsys):
    (world.path / "latin").write_bytes("å\n".encode("latin-1") * 4)
    assert run_cli(world, "--references", str(world.path / "latin")) == 2
    assert f"--references {world.path / 'latin'}: expected UTF-8" in capsys.readouterr().err
    assert not world.calls


def test_all_problems_are_listed_at_once(world, capsys):
    run_cli(world, "--beam", "0", "--repeats", "0", "--name", "x")
    error = capsys.readouterr().err
    assert "--beam" in error and "--repeats" in error and "--name" in error


def test_ratios_are_relative_to_the_first_row():
    rows = [{"params": 90, "v": 2.0}, {"params": 30, "v": 5.0}]
    add_ratios(rows, "v")
    assert [(r["times_smaller"], r["times_faster"]) for r in rows] == [(1, 1), (3, 2.5)]


def test_table_columns_line_up():
    rows = [
        {"name": "t", "params": 6_110_000, "size_mb": 24.53},
        {"name": "student", "params": 700_000, "size_mb": 2.8},
    ]
    lines = format_table(rows, SIZE).split("\n")
    assert len({len(line) for line in lines}) == 1
    assert len({tuple(i for i, c in enumerate(line) if c == "|") for line in lines}) == 1
    assert "6.11 M" in lines[2] and "0.70 M" in lines[3] and lines[1].endswith(":|") is False


SENTENCES = [f"sentence number {i} is here to be compared" for i in range(50)]
BROKEN = [s.replace("here to be", "to be there") for s in SENTENCES]


@pytest.mark.parametrize(
    ("bleu", "teacher", "word", "rest"),
    [(22.0, 30.0, "gained 2.0", "20 % of the gap"), (19.0, 30.0, "lost 1.0", ""),
     (22.0, 18.0, "gained 2.0", "itself is not better"), (20.0, 30.0, "changed nothing", "")],
)  # fmt: skip
def test_the_sentence_says_gain_and_loss_alike(bleu, teacher, word, rest):
    def scored(name, value):
        return Scored(name, value, 50.0, SENTENCES)

    text = compare(scored("plain", 20.0), scored("kd", bleu), scored("teacher", teacher), 0.2)
    assert word in text and rest in text and "may well be chance" in text
    assert ("of the gap" in text) == (rest == "20 % of the gap")


def test_p_value_tells_chance_from_difference():
    plain, better = Scored("p", 0, 0, BROKEN), Scored("k", 0, 0, SENTENCES)
    assert p_value(plain, better, SENTENCES) < 0.01
    mixed = [b if i % 2 else s for i, (s, b) in enumerate(zip(SENTENCES, BROKEN, strict=True))]
    other = [s if i % 2 else b for i, (s, b) in enumerate(zip(SENTENCES, BROKEN, strict=True))]
    assert p_value(Scored("m", 0, 0, mixed), Scored("o", 0, 0, other), SENTENCES) > 0.2


def test_names_default_to_the_files(tmp_path):
    (tmp_path / "x.pt").touch()
    argv = ["evaluate", str(tmp_path), "--path", str(tmp_path / "x.pt"), "--references", "y"]
    args = build_parser().parse_args(argv)
    assert evaluate.check(args) == [ModelFile("x", tmp_path / "x.pt")]
