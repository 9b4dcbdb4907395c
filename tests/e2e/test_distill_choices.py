"""`lightpaff distill` with other choices than those of the plan, and from its own files."""

import json
import tempfile

import pytest

import toy
from distill_runs import TEACHERS, save, write_data
from lightpaff_fairseq.cli.main import main as lightpaff

pytestmark = pytest.mark.usefixtures("forked")  # but for the training behind --launch


def test_other_choices_on_one_road(tmp_path, capsys, monkeypatch):
    """Translations as targets, the teacher in every update, a given student, nothing served."""
    data = write_data(tmp_path / "data", "translation")
    words = (data, "--task", "translation", *TEACHERS["translation"])
    save(tmp_path / "teacher.pt", *words, "--criterion", "cross_entropy")
    arch = "transformer_mass_tiny --encoder-layers 1 --encoder-embed-dim 16 --decoder-layers 1"
    arch += " --encoder-ffn-embed-dim 64 --max-source-positions 32 --max-target-positions 32"
    monkeypatch.chdir(tmp_path)
    command = ["distill", "--teacher", "teacher.pt", "--data", "data", "--out", "out"]
    command += ["--arch", arch, "--sequence-kd", "yes", "--cache", "no", "--serve", "none"]
    command += ["--launch", "env STARTED=1", "--updates", "3", "--max-tokens", "200"]
    assert lightpaff(command) == 0, capsys.readouterr().err
    out = tmp_path / "out"
    script = (out / "commands.sh").read_text()
    assert (
        "lightpaff seq-kd" in script
        and 'env STARTED=1 fairseq-train "$OUT/sequence_data"' in script
    )
    assert "cache-teacher" not in script and "export" not in script
    names = [row["name"] for row in json.loads((out / "results.json").read_text())]
    assert names == ["teacher", "student"]

    capsys.readouterr()
    again = ["distill", "--teacher", "teacher.pt", "--data", "data", "--out", "again"]
    again += ["--init", "out/student.pt", "--kd-lambda", "0", "--serve", "none", "--updates", "3"]
    assert lightpaff([*again, "--max-tokens", "200"]) == 0, capsys.readouterr().err
    script = (tmp_path / "again" / "commands.sh").read_text()
    assert f"--finetune-from-model {out / 'student.pt'}" in script
    assert "--kd-teacher" not in script and "init-student" not in script
    results = (json.loads((tmp_path / x / "results.json").read_text()) for x in ("out", "again"))
    first, second = (rows[1] for rows in results)
    assert first["params"] == second["params"]
    capsys.readouterr()

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # paths are stored as absolute ones
    config = ["distill", "--config", str(out / "config.yaml")]
    assert lightpaff(config) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert printed.count("finished before, reused") == len(list((out / "steps").iterdir()))


def test_several_folders_of_data_and_text(tmp_path, capsys):
    """All steps read and write a folder per folder, and training reads them in turn."""
    names = ("one", "two")
    for name in names:
        write_data(tmp_path / name, "translation")
        toy.write_monolingual(tmp_path / f"text_{name}", count=40)
    for path in (tmp_path / "two").iterdir():  # has the training split alone
        if not path.name.startswith("train."):
            path.unlink()
    data, text = (":".join(f"{tmp_path}/{x}{y}" for y in names) for x in ("", "text_"))
    words = ("--task", "translation", *TEACHERS["translation"], "--criterion", "cross_entropy")
    save(tmp_path / "teacher.pt", tmp_path / "one", *words)
    words = ("--task", "masked_seq2seq", "--tokens-per-sample", 32, "--sample-break-mode", "eos")
    words = (tmp_path / "text_one", *words, *TEACHERS["translation"], "--arch", "mass_tiny")
    save(tmp_path / "pretrained.pt", *words, "--criterion", "cross_entropy")
    out = tmp_path / "out"
    flags = {"teacher": tmp_path / "teacher.pt", "pretrained-teacher": tmp_path / "pretrained.pt"}
    flags |= {"data": data, "text": text, "out": out, "init": "random", "sequence-kd": "yes"}
    flags |= {"cache": "yes", "serve": "none", "updates": 5, "pretrain-updates": 5}
    command = ["distill", *(str(word) for key in flags for word in (f"--{key}", flags[key]))]
    command += ["smaller=2", "max_tokens=200"]
    assert lightpaff(command) == 0, capsys.readouterr().err
    printed = " ".join(capsys.readouterr().out.split())
    assert "80 samples with" in printed and "tokens in 2 folders, 40 for validation" in printed
    for parts in (data, text, f"{out}/sequence_data1:{out}/sequence_data2"):
        log = out / "logs" / ("pretraining.log" if parts is text else "training.log")
        read = [part in log.read_text() for part in parts.split(":")]
        assert read == [parts is not data, parts is not data], parts
    script = (out / "commands.sh").read_text()
    joined = "$OUT/{0}1:$OUT/{0}2"
    assert f'--kd-cache "{joined.format("cache")}"' in script
    assert f'fairseq-train "{joined.format("sequence_data")}"' in script
    assert "--patience 10" in script
    assert lightpaff(command) == 0
    printed = capsys.readouterr().out
    assert printed.count("finished before, reused") == len(list((out / "steps").iterdir()))


def test_fewer_tokens(tmp_path, capsys):
    """Teachers, data and text are cut to the same tokens; the table begins with the whole model."""
    pytest.importorskip("onnxruntime")
    data = write_data(tmp_path / "data", "sentence_prediction")
    text = toy.write_monolingual(tmp_path / "text", count=40)
    words = (data, "--task", "sentence_prediction", *TEACHERS["sentence_prediction"])
    teacher = save(tmp_path / "t.pt", *words, "--criterion", "sentence_prediction")
    words = (text, "--task", "masked_lm", "--arch", "roberta_tiny", "--max-positions", 24)
    words = (*words, "--tokens-per-sample", 24, "--sample-break-mode", "eos")
    pretrained = save(tmp_path / "p.pt", *words, "--criterion", "masked_lm")
    out = tmp_path / "out"
    flags = {"teacher": teacher, "data": data, "pretrained-teacher": pretrained, "text": text}
    flags |= {"out": out, "keep-tokens": 17, "smaller": 2, "updates": 3, "pretrain-updates": 3}
    flags |= {"max-tokens": 200, "max-drop": 100}
    command = ["distill", *(str(word) for key in flags for word in (f"--{key}", flags[key]))]
    assert lightpaff([*command, "--dry-run"]) == 0, capsys.readouterr().err
    printed = " ".join(capsys.readouterr().out.split())
    assert "17 of 31 tokens, with which the teacher has" in printed and not out.exists()
    assert "the others are <unk>" in printed and "no tokenizer was found, see" in printed

    assert lightpaff(command) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    rows = {row["name"]: row for row in json.loads((out / "results.json").read_text())}
    assert list(rows) == ["teacher", "teacher, 17 tokens", "student"]
    width = toy.checkpoint(teacher)["cfg"]["model"].encoder_embed_dim
    sizes = [rows[name]["params"] for name in rows]
    assert sizes[0] - sizes[1] == (31 - 17) * (width + 1)  # with the bias of the output
    assert sizes[2] < sizes[0] / 1.9
    words = ["evaluate", str(data), "--task", "sentence_prediction", "--path", str(teacher)]
    assert lightpaff([*words, "--repeats", "1", "--out", str(tmp_path / "whole.json")]) == 0
    (whole,) = json.loads((tmp_path / "whole.json").read_text())
    assert whole["accuracy"] == rows["teacher"]["accuracy"]
    assert "| student onnx-int8 " in printed and "faster: than the teacher, 17 tokens" in printed
    for name in ("trimmed_pretrained/model.pt", "pretrained.pt", "initial.pt", "student.pt"):
        tables = toy.checkpoint(out / name)["model"]
        assert len(tables["encoder.sentence_encoder.embed_tokens.weight"]) == 17, name
    script = (out / "commands.sh").read_text()
    assert 'trim-vocab --like "$OUT/trimmed" --rebinarize' in script
    assert 'fairseq-train "$OUT/trimmed_text"' in script
    assert f"{tempfile.gettempdir()}/tmp" not in script  # where the plan was made
    assert lightpaff(command) == 0
    printed = capsys.readouterr().out
    assert printed.count("finished before, reused") == len(list((out / "steps").iterdir()))
