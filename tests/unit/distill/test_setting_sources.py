"""Settings of `lightpaff distill`: which source wins, and that all problems are listed at once."""

from pathlib import Path

import pytest

from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.distill.setting_sources import absolute_paths, merge, to_yaml


@pytest.fixture
def files(tmp_path):
    (tmp_path / "teacher.pt").write_bytes(b"")
    (tmp_path / "data").mkdir()
    return {"teacher": tmp_path / "teacher.pt", "data": tmp_path / "data", "out": tmp_path / "out"}


def test_words_win_over_flags_and_flags_over_the_file(files, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("seed: 3\nupdates: 5\nmax-tokens: 7\nlr: 1e-3\ncache: no\n")
    settings = merge(config, {**files, "updates": 6, "max_tokens": 8}, ["max_tokens=9"])
    assert (settings.seed, settings.updates, settings.max_tokens) == (3, 6, 9)
    assert settings.lr == 0.001  # YAML 1.1 reads 1e-3 as text
    assert settings.cache == "no"  # YAML 1.1 reads no as false


def test_a_configuration_is_written_and_read_again(files, tmp_path):
    settings = merge(None, files, ["smaller=4", "baseline=true", "train_flags='--fp16'"])
    config = tmp_path / "config.yaml"
    config.write_text(to_yaml(settings))
    assert merge(config, {}, []) == settings
    assert "seed" not in config.read_text()  # a default


def test_every_folder_of_the_data_becomes_absolute(files, tmp_path, monkeypatch):
    (tmp_path / "more").mkdir()
    monkeypatch.chdir(tmp_path)
    settings = absolute_paths(merge(None, {**files, "data": Path("data:more/")}, []))
    assert str(settings.data) == f"{tmp_path}/data:{tmp_path}/more"
    config = tmp_path / "config.yaml"
    config.write_text(to_yaml(settings))
    assert merge(config, {}, []) == settings


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no_such=1"], "no_such: no such setting"),
        (["udpates=1"], "udpates: no such setting; close to it: updates"),
        (["updates=1.5"], "updates: expected int, got 1.5"),
        (["updates=[1]"], "updates: expected int"),
        (["baseline=maybe"], "baseline: expected bool, got 'maybe'"),
        (["smaller=nan"], "--smaller nan: expected a number above 1"),
        (["smaller=1"], "--smaller 1.0: expected a number above 1"),
        (["kd_lambda=-1"], "--kd-lambda -1.0: expected a number from 0 to 1"),
        (["init=no.pt"], "--init no.pt: expected teacher, random or a checkpoint, got no file"),
        (["init=teacher.pt", "smaller=5"], "--smaller: the checkpoint of --init sets the size"),
        (
            ["init=teacher.pt", "text=.", "pretrained_teacher=teacher.pt"],
            "--text: fine-tuning starts from the checkpoint of --init, without pre-training",
        ),
        (["serve=tflite"], "--serve tflite: expected one of auto, ctranslate2"),
        (["params=many"], "--params many: expected a number as 1200000, 800K or 1.2M"),
        (["params=inf"], "--params inf: expected a number"),
        (["smaller=5", "params=1M"], "--smaller, --params: expected one of them"),
        (["arch=transformer", "encoder_layers=2"], "--encoder-layers, --decoder-layers: no effect"),
        (["data=.:nowhere"], "--data nowhere: no such folder"),
        (["data=.:./"], "--data .:.: expected different folders, joined by one colon"),
        (["data=.::.."], "--data .::..: expected different folders, joined by one colon"),
        (["text=."], "--text, --pretrained-teacher: pre-training needs both"),
        (["train_flags='--lr \"'"], "--train-flags: No closing quotation"),
        (["updates"], "'updates': expected key=value"),
        (["updates={"], "'updates={': expected key=value with a value of YAML"),
    ],
)
def test_refused(files, words, message):
    with pytest.raises(ValueError, match="^") as error:
        merge(None, files, words)
    assert message in str(error.value)


def test_all_problems_are_listed_at_once(files):
    with pytest.raises(ValueError, match="--lr") as error:
        merge(None, files | {"teacher": Path("nowhere.pt")}, ["lr=-1", "updates=0", "seed=-1"])
    for flag in ("--teacher nowhere.pt: no such file", "--lr -1", "--updates 0", "--seed -1"):
        assert flag in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["- a\n- b\n", "{", "1: 2\n", "a: " + "[" * 5000])
def test_a_file_that_is_no_configuration(files, tmp_path, text):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    with pytest.raises(ValueError, match="--config") as error:
        merge(config, files, [])
    assert "\n" not in str(error.value)


def test_settings_may_stand_between_flags(capsys, tmp_path):
    words = ["distill", "updates=1", "--out", str(tmp_path / "out"), "updtes=2", "--seed", "3"]
    assert main([*words, "--sed", "4", "patience=0"]) == 2
    error = capsys.readouterr().err
    assert "updtes: no such setting; close to it: updates" in error
    assert "'--sed': expected key=value" in error and "updates=1" not in error
