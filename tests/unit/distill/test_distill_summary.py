"""The final table: shares of the teacher's quality, speeds of one benchmark, examples."""

import json

import pytest

from lightpaff_fairseq.distill.settings import DistillSettings
from lightpaff_fairseq.distill.summary import summary


def row(name, params, **values):
    size = {"times_smaller": 400 / params, "times_faster": 1.5, "size_mb": params / 100}
    return {"name": name, "params": params, **size, **values}


def timed(name, per_s, quality, size_mb):
    ratio = per_s / 10
    return row(name, 80) | {
        "per_s": per_s, "times_teacher": ratio, "quality": quality, "size_mb": size_mb,
    }  # fmt: skip


def cells(text):
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return {
        line.split("|")[1].strip(): [x.strip() for x in line.split("|")[2:-1]] for line in lines
    }


@pytest.fixture
def out(tmp_path):
    rows = [
        row("teacher", 400, bleu=40.0, sentences_per_s=11.0),
        row("student", 80, bleu=30.0, sentences_per_s=19.0),
    ]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    return tmp_path


def test_rows_are_relative_to_the_teacher(out):
    text = summary(DistillSettings(out=out, serve="none"))
    assert cells(text)["student"][2:] == ["30.0", "75%", "19", "5.0x", "1.5x"]
    assert "served" not in text


def test_the_benchmark_gives_the_speeds_and_the_served_row(out):
    rows = [
        timed("teacher fairseq", 10, 40, 4.0),
        timed("student fairseq", 25, 30, 0.8),
        timed("served, beam 1", 90, 28, 0.25),
    ]
    (out / "benchmark.json").write_text(json.dumps({"rows": rows, "sentences": 20}))
    results = json.loads((out / "results.json").read_text())
    (out / "results.json").write_text(json.dumps([{**each, "sentences": 30} for each in results]))
    (out / "served").mkdir()
    record = {"format": "ctranslate2", "quantization": "int8", "beam": 1}
    (out / "served" / "export.json").write_text(json.dumps(record))
    text = summary(DistillSettings(out=out, serve="ctranslate2:int8"))
    assert cells(text)["teacher"][4:] == ["10", "1.0x", "1.0x"]
    assert cells(text)["student"][4:] == ["25", "5.0x", "2.5x"]
    assert cells(text)["student ctranslate2-int8, beam 1"][2:] == [
        "28.0",
        "70%",
        "90",
        "16.0x",
        "9.0x",
    ]
    assert "on the first 20 of 30 test sentences" in text
    assert "of the served student by file" in text and "at most 0.5 BLEU below beam 5" in text


def test_of_perplexities_the_lower_one_is_better(out):
    rows = [
        row("teacher", 400, ppl_token=20.0, tokens_per_s=100.0),
        row("student", 80, ppl_token=25.0, tokens_per_s=300.0),
    ]
    (out / "results.json").write_text(json.dumps(rows))
    assert cells(summary(DistillSettings(out=out, serve="none")))["student"][3] == "80%"


def test_examples_come_from_the_same_sentences(out):
    (out / "references.txt").write_text("one\ntwo\n")
    (out / "hypotheses").mkdir()
    for name in ("teacher", "student"):
        (out / "hypotheses" / f"{name}.txt").write_text(f"{name} one\n{name} two\n")
    text = summary(DistillSettings(out=out, serve="none"))
    expected = ["reference  two", "teacher    teacher two", "student    student two"]
    lines = [line.strip() for line in text.splitlines()]
    assert lines[lines.index("reference  two") :][:3] == expected
