"""`lightpaff export`: what it writes computes what fairseq computes, and runs without it."""

import json
from copy import deepcopy

import numpy as np
import pytest
from fairseq.data import Dictionary, data_utils

import export_cases
from export_cases import CASES, TRANSLATION
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.export.export_formats import FORMATS
from lightpaff_fairseq.export.export_parity import TOLERANCE
from lightpaff_fairseq.export.export_request import RECORD

pytestmark = [pytest.mark.export, pytest.mark.slow]
onnx = pytest.importorskip("onnx")
pytest.importorskip("ctranslate2")
pytest.importorskip("onnxruntime")

TEXTS = [[5, 9, 14, 7], [20], [11, 11, 6]]  # ids of ordinary symbols


def lines(case):
    """The texts as lines of words."""
    name = "dict.sv.txt" if case.pair[1] == "translation" else "dict.txt"
    return name, [" ".join(f"w{i - 4}" for i in text) for text in TEXTS]


def test_every_possible_student_has_a_case():
    possible = {(name, pair) for name, each in FORMATS.items() for pair in each.models}
    assert {(case.to, case.pair) for case in CASES.values()} == possible and len(possible) >= 5


@pytest.mark.slow
def test_a_consumer_without_fairseq_gets_fairseqs_answers(exported):
    case, folder, model, _ = exported
    printed = export_cases.use(folder, lines(case)[1])
    assert len(printed) == len(TEXTS)
    if case.ends:  # a random model's first symbol: see SEARCH in export/export_parity.py
        return
    answers = [export_cases.expected(case, model, text) for text in TEXTS]
    if case.pair[1] == "language_modeling":
        printed = [line.split("\t")[0] for line in printed]
    if case.pair[1] == "sentence_embedding":
        vectors = [[float(x) for x in line.split(" ")] for line in printed]
        assert np.abs(np.array(vectors) - answers).max() < TOLERANCE and len(set(printed)) > 1
    elif isinstance(answers[0], float):
        assert [float(x) for x in printed] == pytest.approx(answers, abs=0.006)  # two decimals
    else:
        assert printed == answers and (case.to == "onnx" or len(set(printed)) == len(TEXTS))


def test_what_lies_beside_the_model(exported):
    case, folder, _, record = exported
    assert record["format"] == case.to and record["quantization"] is None
    assert (record["model"], record["task"]) == case.pair
    parity = record["parity"]
    assert parity["sentences"] == 16 and parity["inputs"] == "split valid"
    assert 0 < parity["largest_difference"] < TOLERANCE
    if case.pair[1] == "translation":
        assert parity["beams"] > 0  # others may run to the longest length
    else:
        assert parity["beams"] is None
    assert (folder / lines(case)[0]).is_file() and (folder / "README.md").is_file()
    assert all(record["versions"][name] for name in FORMATS[case.to].packages)
    labels = folder / "classes.json"
    if "--num-classes" in case.flags and "--regression-target" not in case.flags:
        assert json.loads(labels.read_text()) == ["0", "1", "2"]
    else:
        assert not labels.exists()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.to == "onnx"])
def test_any_batch_and_length_in_onnx(name, exports):
    import onnxruntime

    case, folder, model, _ = exports(name)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    for texts in ([TEXTS[0]], [[7] * 30], TEXTS, TEXTS * 3):
        rows = [[0, *text, 2] for text in texts]
        tokens = np.ones((len(rows), max(map(len, rows))), dtype=np.int64)
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = row
        (output,) = session.run(None, {"tokens": tokens})
        for i, text in enumerate(texts):
            reference = export_cases.outputs(case, model, text).numpy()
            kept = output[i, : len(rows[i])] if reference.ndim == 2 else output[i]
            assert np.abs(kept - reference).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [TRANSLATION, "language_modeling", "classes", "regression", "embedding"]
)
def test_int8_is_smaller_and_its_score_is_reported(name, student, tmp_path, capsys):
    case = CASES[name]
    path, data, _ = student(name)
    flags = ["--data", data, "--quantization", "int8", "--max-drop", 50, "--sentences", 20]
    assert export_cases.export(case, path, tmp_path / "small", *flags) == 0
    printed = capsys.readouterr().out
    quality = json.loads((tmp_path / "small" / RECORD).read_text())["quality"]
    assert f"int8: {quality['measure']} {quality['exported']:.2f}" in printed
    measures = {"translation": "BLEU", "language_modeling": "ppl", "classes": "accuracy"}
    measures["embedding"] = "cosine"
    assert quality["measure"] == measures.get(name, "Pearson")
    if name == "embedding":
        assert round(quality["fairseq"], 4) == 100 > quality["exported"] > 99
    if name == "language_modeling":
        assert quality["drop"] == pytest.approx(
            100 * (quality["exported"] / quality["fairseq"] - 1)
        )
        assert quality["exported"] != quality["fairseq"]
    if name == "translation":
        check_choice(tmp_path / "small", quality, printed)
    if case.to == "onnx":
        graph = onnx.load(tmp_path / "small" / "model.onnx").graph
        assert any(x.data_type == onnx.TensorProto.INT8 for x in graph.initializer)
        return
    assert export_cases.export(case, path, tmp_path / "large", "--data", data) == 0
    sizes = [(tmp_path / x / "model.bin").stat().st_size for x in ("small", "large")]
    assert sizes[0] < sizes[1]


def check_choice(folder, quality, printed):
    """Beams 1, 2 and 5 were measured; the fastest one within --max-drop is served."""
    record = json.loads((folder / RECORD).read_text())
    rows = {(row["weights"], row["beam"]): row for row in record["measured"]["rows"]}
    assert list(rows) == [(kind, beam) for kind in ("float", "int8") for beam in (1, 2, 5)]
    assert rows["float", 5]["bleu"] == pytest.approx(quality["fairseq"], abs=0.5)
    served = [row for key, row in rows.items() if key[0] == "int8"]
    within = [row for row in served if quality["fairseq"] - row["bleu"] <= 50]
    fastest = max(within, key=lambda row: row["sentences_per_s"])
    assert fastest["beam"] == record["beam"] and fastest["bleu"] == quality["exported"]
    assert f"\nBEAM = {record['beam']} " in (folder / "use.py").read_text()
    assert f"use.py runs beam {record['beam']}" in printed
    assert f"| int8    |    1 | {rows['int8', 1]['bleu']:.2f} |" in printed


@pytest.mark.slow
def test_bleu_is_that_of_evaluate_or_its_basis_is_named(student, tmp_path, capsys):
    case, (path, data, _) = CASES["translation"], student("translation")
    dictionary = Dictionary.load(str(data / "dict.en.txt"))
    targets = data_utils.load_indexed_dataset(str(data / "valid.sv-en.en"), dictionary)
    lines = [dictionary.string(targets[i]) for i in range(len(targets))]
    text = tmp_path / "valid.en"
    text.write_text("".join(f"{line.replace('w3', 'W3')}\n" for line in lines))  # raw text differs
    stripped, out = tmp_path / "s.pt", tmp_path / "r.json"
    assert main(["strip", "--path", str(path), "--out", str(stripped)]) == 0
    flags = ("--gen-subset", "valid", "--remove-bpe", "none", "--references", text, "--repeats", 1)
    words = ("evaluate", data, "--path", stripped, *flags, "--out", out)
    assert main([str(word) for word in words]) == 0
    (row,) = json.loads(out.read_text())
    assert f"all {len(lines)} sentences of valid, against {text}" in capsys.readouterr().out

    flags = ["--data", data, "--quantization", "int8", "--max-drop", 100, "--beam", 5]
    both = [*flags, "--sentences", 0, "--references", text]
    assert export_cases.export(case, path, tmp_path / "same", *both) == 0
    quality = json.loads((tmp_path / "same" / RECORD).read_text())["quality"]
    assert quality["fairseq"] == row["bleu"] > 0
    assert f"(the {len(lines)} sentences of valid, against --refe" in capsys.readouterr().out

    assert export_cases.export(case, path, tmp_path / "other", *flags, "--sentences", 9) == 0
    basis = f"the first 9 of {len(lines)} sentences of valid, against its binarized target"
    assert f"({basis})" in capsys.readouterr().out
    record = json.loads((tmp_path / "other" / RECORD).read_text())
    assert record["quality"]["of"] == record["measured"]["of"] == basis and record["beam"] == 5
    assert {row["beam"] for row in record["measured"]["rows"]} == {5}

    text.write_text("one line\n")
    assert export_cases.export(case, path, tmp_path / "none", *both) == 2
    assert f"expected {len(lines)} lines, one per sentence" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_pieces_are_cut_and_joined_by_the_script(student, tmp_path):
    import sentencepiece

    words = [f"w{i}" for i in range(26)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["w x"] * 20),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=40,
        hard_vocab_limit=False,
        user_defined_symbols=words,
        add_dummy_prefix=False,
    )
    case = CASES["translation"]
    path, data, model = student("translation")
    flags = ("--data", data, "--sentencepiece-model", tmp_path / "spm.model", "--beam", 5)
    assert export_cases.export(case, path, tmp_path / "out", *flags) == 0
    pieces = sentencepiece.SentencePieceProcessor(str(tmp_path / "spm.model"))
    printed = export_cases.use(tmp_path / "out", ["w3w4w5", "w9 w9", " ".join(["w9"] * 21)])
    exact = deepcopy(model).double()
    # A space is unknown to the student; a part of at most 39 tokens ends before one.
    texts = [[7, 8, 9]], [[13, 3, 13]], [[13, *[3, 13] * 19], [3, 13]]
    for line, parts in zip(printed, texts, strict=True):
        answers = [export_cases.expected(case, exact, part) for part in parts]
        assert line == " ".join(pieces.decode(answer.split()) for answer in answers)


@pytest.mark.parametrize("name", ["classes", TRANSLATION, "language_modeling"])
def test_no_line_no_answer(name, exports):
    assert export_cases.use(exports(name)[1], []) == []
