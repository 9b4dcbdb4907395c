"""`lightpaff export`: what is refused, in one line, and that nothing half-valid remains."""

import importlib.util
import json
import re
import shutil

import pytest
import torch

import export_cases
import toy
from export_cases import CASES
from lightpaff_fairseq.checkpoints.state_dict import KEPT
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.export import export_formats, exporter, to_ctranslate2
from lightpaff_fairseq.export.export_request import RECORD

pytestmark = pytest.mark.export
pytest.importorskip("ctranslate2")

CASE = CASES["language_modeling"]
PRECIOUS = "precious.txt"


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """(checkpoint, data) of a language model."""
    return export_cases.make(CASE, tmp_path_factory.mktemp("student"))[:2]


@pytest.fixture
def run(student, tmp_path, capsys):
    """Exports with more flags: (exit code, the message)."""

    def call(*flags, case=CASE, path=student[0], out=tmp_path / "out"):
        code = export_cases.export(case, path, out, "--data", student[1], *flags)
        return code, capsys.readouterr().err.strip().split("\n")[-1]

    return call


def check_refused(result, *words):
    code, message = result
    assert code == 2 and message.startswith("lightpaff export: error: ")
    assert all(word in message for word in words), message


def test_all_bad_flags_are_listed(run, tmp_path):
    flags = ("--sentences", -1, "--max-drop", -1, "--sentencepiece-model", tmp_path / "no.model")
    result = run(*flags, path=tmp_path / "no.pt", out=tmp_path / "no" / "out")
    check_refused(result, "--sentences", "--max-drop", "no.model", "no.pt", "does not exist")
    check_refused(run("--quantization", "int16", case=CASES["classes"]), "--to onnx supports int8")
    check_refused(run("--max-drop", "nan"), "--max-drop nan: expected 0 or more")
    for beam in ("x", "0", "\u00b2", "1" * 40):
        check_refused(run("--beam", beam), f"--beam {beam}: expected auto, or 1 or more")
    check_refused(run("--beam", 2), "--beam 2: expected --to ctranslate2 of a translation model")
    assert not list(tmp_path.iterdir())


def test_a_format_that_does_not_take_the_model_says_what_is_possible(run, tmp_path):
    words = ("transformer_lm of --task language_modeling", "roberta of --task sentence_prediction")
    check_refused(run(case=CASES["classes"]), "--to onnx does not support a transformer_lm", *words)
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_score_is_not_quantised(tmp_path, capsys):
    case = CASES["masked_lm"]
    path, data, _ = export_cases.make(case, tmp_path)
    flags = ("--data", data, "--quantization", "int8")
    assert export_cases.export(case, path, tmp_path / "out", *flags) == 2
    error = capsys.readouterr().err
    assert "--quantization int8: expected a --task" in error and "got masked_lm" in error


@pytest.mark.parametrize("name", export_formats.FORMATS)
def test_a_missing_package_is_named(name, monkeypatch):
    find = importlib.util.find_spec
    lacking = export_formats.FORMATS[name].packages[-1]
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda x, *a: None if x == lacking else find(x, *a)
    )
    message = export_formats.package_problem(name)
    assert f"needs the package {lacking}" in message
    assert f"lightpaff-fairseq[{export_formats.FORMATS[name].extra}]" in message


def test_pieces_of_another_dictionary(run, student, tmp_path):
    import sentencepiece

    prefix = tmp_path / "spm"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["some other words"] * 20),
        model_prefix=str(prefix),
        vocab_size=20,
        hard_vocab_limit=False,
    )
    result = run("--sentencepiece-model", f"{prefix}.model")
    check_refused(result, "spm.model: expected the dictionary's own pieces, got 0 of its")
    result = run("--sentencepiece-model", student[0])
    check_refused(result, "student.pt: expected a SentencePiece model, got RuntimeError")
    assert not (tmp_path / "out").exists()


def test_data_in_the_folder_that_is_replaced(run, student, tmp_path):
    assert run()[0] == 0
    shutil.copytree(student[1], tmp_path / "out", dirs_exist_ok=True)
    before = {x.name for x in (tmp_path / "out").iterdir()}
    check_refused(
        run("--force", "--data", tmp_path / "out"),
        "--out",
        "expected a folder that does not contain the input",
    )
    assert {x.name for x in (tmp_path / "out").iterdir()} == before


def test_a_split_that_is_not_compared_on(student, tmp_path, capsys):
    argv = ("--path", student[0], "--data", student[1], "--to", "hf", "--gen-subset", "valid")
    assert main([*map(str, ("export", *argv, "--out", tmp_path / "out"))]) == 2
    assert "--gen-subset valid: --to hf compares on texts of its own" in capsys.readouterr().err


def test_a_model_that_is_not_compacted(run, student, tmp_path):
    state = toy.checkpoint(student[0])
    state["model"][f"decoder.layer_norm.{KEPT}"] = torch.ones(8, dtype=torch.bool)
    torch.save(state, tmp_path / "masked.pt")
    check_refused(run(path=tmp_path / "masked.pt"), "masked.pt", "compact")


def test_dictionaries_that_are_not_there(run, student, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("--data", tmp_path / "empty")  # the later one counts
    check_refused(result, f"--data {tmp_path / 'empty'}", "dictionar")
    check_refused(run("--data", tmp_path / "none"), "none: expected a folder")
    toy.write_dictionary(tmp_path / "other" / "dict.txt", words=5)
    check_refused(run("--data", tmp_path / "other"), "fairseq cannot load it")
    path = toy.write_monolingual(tmp_path / "other") / "dict.txt"
    path.write_text(path.read_text().replace("w7 ", "W7 "))
    words = "symbol 11 is 'w7' in the training data and 'W7' in the data here"
    check_refused(run("--data", tmp_path / "other"), f"--data {tmp_path / 'other'}", words)


def test_dictionaries_are_copied_not_rewritten(run, student, tmp_path):
    """A symbol twice, one of fairseq's own in the file: saving again would lose the marks."""
    path = toy.write_monolingual(tmp_path / "twice") / "dict.txt"
    text = path.read_text().replace("w8 992", "w7 992 #fairseq:overwrite")
    path.write_text(text.replace("w9 991", "<unk> 991 #fairseq:overwrite"))
    assert path.read_text().count("overwrite") == 2
    state = toy.checkpoint(student[0])
    state["cfg"]["task"]["data"] = str(path.parent)
    torch.save(state, tmp_path / "model.pt")
    code, message = run("--data", path.parent, path=tmp_path / "model.pt")
    assert code == 0, message
    assert (tmp_path / "out" / "dict.txt").read_bytes() == path.read_bytes()


def test_the_folder_of_the_training_is_the_default(student, tmp_path, monkeypatch):
    state = toy.checkpoint(student[0])
    assert export_cases.export(CASE, student[0], tmp_path / "out") == 0
    state["cfg"]["task"]["data"] = "gone"
    torch.save(state, tmp_path / "moved.pt")
    assert export_cases.export(CASE, tmp_path / "moved.pt", tmp_path / "out2") == 2


def test_without_a_split_random_symbols_are_compared(student, tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    shutil.copyfile(student[1] / "dict.txt", data / "dict.txt")
    out = tmp_path / "out"
    assert export_cases.export(CASE, student[0], out, "--data", data) == 0
    assert "random tokens" in capsys.readouterr().err
    assert json.loads((out / RECORD).read_text())["parity"]["inputs"] == "random tokens"
    for flags in (("--gen-subset", "dev"), ("--quantization", "int8")):
        flags += ("--data", data, "--force")
        assert export_cases.export(CASE, student[0], out, *flags) == 2
        assert "no such split" in capsys.readouterr().err


@pytest.mark.slow
def test_sentences_that_are_too_long(run, student, tmp_path):
    state = toy.checkpoint(student[0])
    state["cfg"]["model"]["tokens_per_sample"] = state["cfg"]["task"]["tokens_per_sample"] = 2
    torch.save(state, tmp_path / "short.pt")
    assert run(path=tmp_path / "short.pt")[0] == 0  # language models cut text into blocks
    case = CASES["classes"]
    path, data, _ = export_cases.make(case, tmp_path / "classes")
    state = toy.checkpoint(path)
    state["cfg"]["task"]["max_positions"] = 4
    torch.save({**state, "model": cut_positions(state["model"], 4)}, path)
    for flags in (("--data", data), ("--data", data, "--gen-subset", "valid")):
        result = run(*flags, case=case, path=path, out=tmp_path / "never")
        check_refused(result, "--gen-subset valid", "are longer", "at most 4 tokens")


def cut_positions(tensors, count):
    name = "encoder.sentence_encoder.embed_positions.weight"
    return {**tensors, name: tensors[name][: count + 2].clone()}  # fairseq: pad + 1 + count rows


@pytest.mark.slow
def test_what_the_converter_says_of_a_model_it_cannot_compute(tmp_path, capsys):
    case = CASES["sinusoidal"]
    path, data, _ = export_cases.make(case, tmp_path)
    state = toy.checkpoint(path)
    state["cfg"]["model"].decoder_attention_heads = 4
    torch.save(state, path)
    assert export_cases.export(case, path, tmp_path / "out", "--data", data) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert "CTranslate2 cannot convert it" in line and "--decoder-attention-heads" in line
    assert {x.name for x in tmp_path.iterdir()} == {"data", "student.pt"}


def perturbed(monkeypatch, when):
    """The converter changes a weight before `when(quantization)`."""
    write = to_ctranslate2.write

    def wrong(student, folder, quantization):
        state = student.info.state["model"]
        name = "decoder.layers.0.fc1.weight"
        if when(quantization):
            state = {**state, name: -10 * state[name]}
        changed = {**student.info.state, "model": state}
        info = student.info.__class__(
            student.info.path, changed, student.info.family, student.info.task
        )
        write(student.__class__(info, *[student.data, student.task, student.model]), folder,
              quantization)  # fmt: skip

    monkeypatch.setattr(to_ctranslate2, "write", wrong)


def test_what_computes_something_else_is_not_exported(run, tmp_path, monkeypatch):
    perturbed(monkeypatch, lambda quantization: True)
    check_refused(run(), "disagrees with fairseq", "at most 1e-04")
    assert not list(tmp_path.iterdir())


def test_what_loses_too_much_is_not_exported(run, tmp_path, monkeypatch):
    perturbed(monkeypatch, lambda quantization: quantization == "int8")
    result = run("--quantization", "int8")
    check_refused(result, "--max-drop 0.5 %: got a drop of", "with int8 weights", "nothing was")
    assert not list(tmp_path.iterdir())
    pattern = r"ppl ([\d.]+) in fairseq, ([\d.]+) with"
    before, after = map(float, re.search(pattern, result[1]).groups())
    assert after > 1.005 * before
    assert run("--quantization", "int8", "--max-drop", 1e9)[0] == 0


@pytest.mark.slow
def test_a_folder_is_replaced_with_force_only_and_only_if_it_is_ours(run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert run()[0] == 0  # an empty folder will do
    record = (out / RECORD).stat().st_mtime_ns
    check_refused(run(), "--force")
    assert (out / RECORD).stat().st_mtime_ns == record
    (out / "stale").touch()
    assert run("--force")[0] == 0 and not (out / "stale").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / PRECIOUS).touch()
    check_refused(run("--force", out=other), "--force replaces only what this command wrote")
    check_refused(run(out=other / PRECIOUS), "expected a folder, got a file")
    assert (other / PRECIOUS).is_file()
    assert {x.name for x in tmp_path.iterdir()} == {"out", "other"}


@pytest.mark.slow
@pytest.mark.parametrize("step", ["compare", "write_companions"])
def test_an_interrupt_leaves_the_old_folder(run, tmp_path, monkeypatch, step):
    assert run()[0] == 0
    before = {x.name: x.read_bytes() for x in (tmp_path / "out").iterdir()}

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(exporter, step, interrupt)
    assert run("--force")[0] == 130
    assert {x.name: x.read_bytes() for x in (tmp_path / "out").iterdir()} == before
    assert [x.name for x in tmp_path.iterdir()] == ["out"]
