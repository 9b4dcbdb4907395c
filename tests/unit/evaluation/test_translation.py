"""`lightpaff evaluate` for translations: what it runs, parses, scores and refuses."""

import json
import sys
from pathlib import Path

import pytest

from evaluated import REFERENCES, output, run_cli
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.evaluation import fairseq_command, translation
from lightpaff_fairseq.progress import Progress
from toy import train, write_parallel


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
        "expected a translation for each of the 4 lines" in error
        and f"got {count} from fairseq-generate" in error
    )
    assert not (world.path / "r.json").exists()


def test_progress_counts_every_sentence_once(world, monkeypatch):
    """Two runs of two models, each with two hypotheses per sentence."""
    text, log = output([*REFERENCES])
    twice = "\n".join(line for line in text.split("\n") for _ in range(2))
    world.answers.append((twice, log))
    states = []

    def note(self, amount, detail):
        self.update(self.done + amount, detail)
        states.append((self.done, self.total, detail))

    monkeypatch.setattr(Progress, "advance", note)
    assert run_cli(world, "--repeats", "2") == 0
    names = [name for _ in range(2) for name in "ab" for _ in REFERENCES]
    assert states == [(i, 16, name) for i, name in enumerate(names, 1)]


def test_a_failing_fairseq_generate_is_quoted(world, monkeypatch, capsys):
    def fail(words, on_line, stderr, environment):
        stderr.write("a\nRuntimeError: no such task")
        return 1

    monkeypatch.setattr(fairseq_command, "run_child", fail)
    assert run_cli(world) == 2
    assert "no such task" in capsys.readouterr().err


def test_references_that_are_no_text_are_named(world, capsys):
    (world.path / "latin").write_bytes("å\n".encode("latin-1") * 4)
    assert run_cli(world, "--references", str(world.path / "latin")) == 2
    assert f"--references {world.path / 'latin'}: expected UTF-8" in capsys.readouterr().err
    assert not world.calls


@pytest.mark.slow
def test_a_training_checkpoint_is_to_be_stripped_first(tmp_path, capsys):
    """It holds a Namespace, which torch loads with the plug-in alone."""
    flags = ("--task", "translation", "--arch", "transformer", "--encoder-layers", 1)
    flags += ("--decoder-layers", 1, "--encoder-embed-dim", 8, "--decoder-embed-dim", 8)
    data = write_parallel(tmp_path / "data", count=5)
    argv = (data, *flags, "--max-tokens", 99, "--max-update", 1, "--disable-validation")
    train(*argv, "--save-dir", tmp_path / "save")
    (tmp_path / "ref").write_text("w1 w2\n" * 5)
    words = ["evaluate", data, "--path", tmp_path / "save" / "checkpoint_last.pt"]
    words += ["--references", tmp_path / "ref", "--repeats", 1, "--generate-flags", "--beam 1"]
    assert main([str(word) for word in words]) == 2
    assert "run lightpaff strip on it first" in capsys.readouterr().err


def test_translations_are_kept_by_the_names_of_the_rows(world, capsys):
    worse = [REFERENCES[0], "I know not.", "", "She went."]
    world.answers += [output(REFERENCES), output(worse)]
    folder = world.path / "hypotheses"
    words = ("--hypotheses", str(folder), "--repeats", "1", "--name")
    assert run_cli(world, *words, "T", "S 2") == 0
    texts = {path.name: path.read_text().split("\n") for path in folder.iterdir()}
    assert texts == {"T.txt": [*REFERENCES, ""], "S 2.txt": [*worse, ""]}
    assert run_cli(world, *words, "a/b", "c") == 2
    assert "--hypotheses: expected a --name without /" in capsys.readouterr().err
