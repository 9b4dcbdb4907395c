"""`lightpaff trim-vocab` on converted multilingual models: languages are kept or cut."""

import json

import pytest
from fairseq import checkpoint_utils

pytest.importorskip("tokenizers")

import toy
from hf_folders import LANGUAGES, MAKERS
from lightpaff_fairseq.cli.main import main
from lightpaff_fairseq.huggingface.conversion import Conversion
from lightpaff_fairseq.huggingface.to_fairseq import convert

pytestmark = [pytest.mark.hf, pytest.mark.slow]


@pytest.mark.parametrize(("name", "style"), [("mbart", "[{}]"), ("nllb", "__{}__")])
def test_only_the_named_languages_stay(name, style, tmp_path, capsys):
    pair, out = LANGUAGES[name], tmp_path / "model"
    convert(Conversion(("hf", MAKERS[name](tmp_path / "hf")), ("fairseq", out), langs=pair))
    for i, language in enumerate(pair):
        prefix = out / f"train.{'-'.join(pair)}.{language}"
        toy.write_split(prefix, toy.sentences(20, i, 30))
    whole = (out / "dict.txt").read_text().splitlines()
    words = ["trim-vocab", "--path", out / "model.pt", "--data", out, "--coverage", "0.9"]
    words = [str(x) for x in (*words, "--out", tmp_path / "t", "--langs")]
    assert main([*words, pair[0]]) == 2
    assert f"--langs: expected {pair[1]}, too" in capsys.readouterr().err
    assert main([*words, *pair, "xx"]) == 2
    assert "got xx" in capsys.readouterr().err
    assert main([*words, *pair]) == 0
    symbols = (tmp_path / "t" / "dict.txt").read_text().splitlines()
    assert len(symbols) < len(whole)
    assert set(symbols) >= {f"{style.format(language)} 1" for language in pair}
    if name == "mbart":  # it has 25 languages
        assert sum(symbol.startswith("[") for symbol in symbols) == 2
    _, cfg, task = checkpoint_utils.load_model_ensemble_and_task([str(tmp_path / "t" / "model.pt")])
    assert len(task.source_dictionary) == len(symbols) + 4
    sides = json.loads((tmp_path / "t" / "trim.json").read_text())["sides"]
    assert list(sides) == ["shared"]
