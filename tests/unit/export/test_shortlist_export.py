"""`lightpaff export --shortlist`: CTranslate2 keeps to it, and what is refused."""

import json
import logging
import runpy
import shutil
from pathlib import Path

import pytest
from fairseq.data import data_utils

import export_cases
import toy
from export_cases import CASES
from lightpaff_fairseq.export import shortlist_export
from lightpaff_fairseq.export.export_request import RECORD
from lightpaff_fairseq.export.shortlist import ALWAYS, FILE, Shortlist

pytestmark = pytest.mark.export
ctranslate2 = pytest.importorskip("ctranslate2")
pytest.importorskip("thot")

ROOT = Path(__file__).resolve().parents[3]
NAME = "sinusoidal"  # untrained
SINGLES = {(f"w{i}",): [f"w{(i + 7) % 26}", f"w{(3 * i + 2) % 26}"] for i in range(25)}
RULES = {ALWAYS: ["w25"], **SINGLES, ("w1", "w2"): ["w20"], ("w4", "w4"): ["w0", "w19"]}
SENTENCES = [["w1"], ["w2", "w1"], ["w1", "w2"], ["w4", "w4", "w4"], ["w25"], ["w9"] * 5]


@pytest.fixture(scope="module")
def translator(exports, tmp_path_factory):
    """The untrained model with RULES."""
    folder = tmp_path_factory.mktemp("shortlist") / "out"
    shutil.copytree(exports(NAME)[1], folder)
    Shortlist(RULES).write(folder)
    return ctranslate2.Translator(str(folder), intra_threads=1)


def first_tokens(translator, batch, number, use_vmap=True):
    """The `number` best first tokens per sentence, and the start token, always allowed."""
    results = translator.translate_batch(
        batch,
        beam_size=number + 1,
        num_hypotheses=number + 1,
        min_decoding_length=1,
        max_decoding_length=1,
        disable_unk=True,
        use_vmap=use_vmap,
    )
    return [{tokens[0] for tokens in result.hypotheses} - {"<s>"} for result in results]


@pytest.mark.parametrize("size", [1, 64])
def test_what_is_allowed_and_nothing_else_is_produced(translator, size):
    for sentence in SENTENCES:
        batch = [sentence] * size
        allowed = Shortlist(RULES).candidates(batch)
        assert 1 <= len(allowed) < 8
        assert first_tokens(translator, batch, len(allowed)) == [allowed] * size
        free = first_tokens(translator, batch[:1], len(allowed), use_vmap=False)
        assert free != [allowed]  # the shortlist changed something


def test_a_batch_may_use_the_rules_of_all_its_sentences(translator):
    allowed = Shortlist(RULES).candidates(SENTENCES)
    assert len(allowed) > max(len(Shortlist(RULES).candidates([x])) for x in SENTENCES)
    produced = first_tokens(translator, SENTENCES, len(allowed))
    assert produced == [allowed] * len(SENTENCES)


def test_without_a_file_the_flag_changes_nothing(exports):
    model = ctranslate2.Translator(str(exports(NAME)[1]), intra_threads=1)
    free, asked = (first_tokens(model, SENTENCES, 5, use_vmap=x) for x in (False, True))
    assert free == asked


@pytest.fixture
def run(student, tmp_path, capsys):
    """Exports with more flags: (exit code, standard output, the last line of standard error)."""

    def call(*flags, name=NAME, out=tmp_path / "out"):
        path, data, _ = student(name)
        code = export_cases.export(CASES[name], path, out, "--data", data, *flags)
        printed = capsys.readouterr()
        return code, printed.out, printed.err.strip().split("\n")[-1]

    return call


@pytest.mark.slow
def test_it_is_measured_and_used(run, student, tmp_path):
    data = student(NAME)[1]
    flags = ("--shortlist", data, "--shortlist-targets", 2, "--shortlist-frequent", 3)
    code, printed, error = run(*flags, "--sentences", 20, "--max-drop", 100, "--beam", 2)
    assert code == 0, error
    out = tmp_path / "out"
    record = json.loads((out / RECORD).read_text())
    report, parity = record["shortlist"], record["parity"]
    assert 0 < parity["largest_difference"] < 1e-4  # without the shortlist, which would differ
    assert report["pairs"] == 37 and report["rules"] == len((out / FILE).read_text().splitlines())
    assert [x["batch"] for x in report["scores"]] == [1, 16]
    assert report["scores"][0]["candidates"] < report["scores"][1]["candidates"] <= 26
    for share in report["coverage"].values():
        assert 0 < share < 1 and f"{share:.1%} of the" in printed
    assert "batches of 16: " in printed and record["versions"]["sil-thot"]
    allowed = dict(x.split("\t") for x in (out / FILE).read_text().splitlines())
    (line,) = export_cases.use(out, ["w5"])
    assert set(line.split()) <= {*allowed[""].split(), *allowed["w5"].split(), "<unk>"}
    free = tmp_path / "free"
    shutil.copytree(out, free)
    (free / FILE).unlink()
    assert export_cases.use(free, ["w5"]) != [line]


def test_a_shortlist_that_loses_too_much_is_refused(run, student, exports, tmp_path, monkeypatch):
    """The references are the model's own translations, which the shortlist does not allow."""
    dictionary, data = student(NAME)[2].encoder.dictionary, student(NAME)[1]
    rows = data_utils.load_indexed_dataset(str(data / "valid.sv-en.sv"), dictionary)
    references = tmp_path / "references"
    lines = export_cases.use(exports(NAME)[1], [dictionary.string(row) for row in rows])
    references.write_text("".join(f"{line}\n" for line in lines))
    poor = Shortlist({ALWAYS: ["w0"]})
    monkeypatch.setattr(shortlist_export, "build_shortlist", lambda *args: poor)
    code, _, error = run(
        "--shortlist", data, "--sentences", 10, "--references", references, "--beam", 5
    )
    assert code == 2 and "--max-drop 0.5: got a drop of" in error
    assert "with float weights, shortlist; nothing was exported" in error
    assert [x.name for x in tmp_path.iterdir()] == ["references"]


def test_pairs_that_cannot_be_used(run, student, tmp_path):
    data = student(NAME)[1]
    for name in ("none", "valid", "other", "sides", "sources"):
        shutil.copytree(data, tmp_path / name)
    for path in (tmp_path / "valid").glob("train*"):
        path.unlink()
    for path in (tmp_path / "sources").glob("train.*.en.*"):
        path.unlink()
    text = (tmp_path / "other" / "dict.en.txt").read_text()
    (tmp_path / "other" / "dict.en.txt").write_text(text.replace("w7 ", "W7 "))
    toy.write_split(tmp_path / "sides" / "train.sv-en.en", toy.sentences(36, 0))
    shutil.rmtree(tmp_path / "none")
    (tmp_path / "none").mkdir()
    messages = {
        "none": "expected a folder with dict.sv.txt and dict.en.txt, got none",
        "valid": "expected training pairs (train.sv-en.sv, .en): Dataset not found: train",
        "other": "expected the target dictionary of --path",
        "sides": "Source and target must contain the same number of examples",
        "sources": "expected training pairs (train.sv-en.sv, .en), got sources only",
        "no": "no such folder",
    }
    for name, message in messages.items():
        code, _, error = run("--shortlist", tmp_path / name)
        assert code == 2 and error.startswith("lightpaff export: error: --shortlist "), error
        assert f"{name}: " in error and message in error, error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_flags_that_do_not_fit(run, student, tmp_path, monkeypatch):
    data = student("language_modeling")[1]
    assert (
        "expected a translation model, got one of lang"
        in run("--shortlist", data, name="language_modeling")[2]
    )
    error = run("--shortlist", data, "--shortlist-targets", 0, "--shortlist-frequent", 0)[2]
    assert "--shortlist-targets 0: expected 1 or more" in error
    assert "--shortlist-frequent 0: expected 1 or more" in error
    assert "--shortlist-targets 5: expected --shortlist" in run("--shortlist-targets", 5)[2]
    classes = student("classes")
    argv = ("--data", classes[1], "--shortlist", classes[1])
    assert export_cases.export(CASES["classes"], classes[0], tmp_path / "out", *argv) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_script_for_speed_prints_a_row_per_search(monkeypatch, capsys):
    script = runpy.run_path(str(ROOT / "scripts" / "serving_speed.py"))
    sizes = {"VOCABULARY": 200, "LENGTH": 5, "SENTENCES": 3, "ROUNDS": 1}
    monkeypatch.setattr(logging, "disable", lambda level: None)
    for name, value in {"TEACHER": "transformer_mass_tiny", **sizes}.items():
        monkeypatch.setitem(script["main"].__globals__, name, value)
    script["main"]("transformer_mass_tiny", 2)
    rows = [row.strip("| ").split(" | ") for row in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == [
        "teacher, fairseq, beam 5",
        "student, fairseq, beam 5",
        "student, int8, beam 5",
        "student, int8, beam 5, shortlist",
        "student, int8, beam 1",
        "student, int8, beam 1, shortlist",
    ]
    assert rows[0][2] == rows[0][4] == "1.0"
