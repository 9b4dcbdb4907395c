"""What a plan decides: the teacher's translations as targets, and a cache of its outputs."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from lightpaff_fairseq.distill import decisions
from lightpaff_fairseq.distill.probe import Speed, Timings
from lightpaff_fairseq.distill.schedule import Rates
from lightpaff_fairseq.distill.settings import DistillSettings

TRANSLATOR = SimpleNamespace(path=Path("t.pt"), family="transformer", task="translation")
CLASSIFIER = SimpleNamespace(path=Path("t.pt"), family="roberta", task="sentence_prediction")
DATA = SimpleNamespace(amount=SimpleNamespace(samples=1000))


def choose(sentences_per_s, teacher=TRANSLATOR, **settings):
    """100 updates of 0.1 s: the training takes 10 s."""
    timings = Timings(0.1, 0.1, 0, Speed(sentences_per_s, 1, None))
    rates = Rates(100, 10, 1000, 1e-3, 4, 0.1)
    settings = DistillSettings(**{"serve": "ctranslate2:int8", **settings})
    backend, choices = decisions.choose_sequences(settings, teacher, DATA, rates, timings)
    return backend, "".join(choice.reason for choice in choices)


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    monkeypatch.setattr(decisions, "package_problem", lambda name: None)


def test_translations_are_targets_where_decoding_is_quicker_than_training():
    assert choose(101)[0] == "ctranslate2"
    backend, reason = choose(99)
    assert backend is None and "longer than the training" in reason
    assert choose(99, sequence_kd="yes") == ("ctranslate2", decisions.ASKED)
    assert choose(101, sequence_kd="no") == (None, decisions.ASKED)
    assert choose(101, kd_lambda=0.0)[0] is None
    assert choose(101, serve="none")[0] is None
    assert choose(101, CLASSIFIER) == (None, "")


def test_fairseq_decodes_only_if_asked(monkeypatch):
    monkeypatch.setattr(decisions, "package_problem", lambda name: "not installed")
    backend, reason = choose(101)
    assert backend is None and "CTranslate2" in reason
    assert choose(101, sequence_kd="yes")[0] == "fairseq"


def test_intermediate_losses_have_no_cache(tmp_path):
    data = SimpleNamespace(amount=SimpleNamespace(tokens=1000))
    rates, timings = Rates(100, 10, 1000, 1e-3, 4, 0.1), Timings(0.1, 0.1, 0, Speed(1, 1, None))

    def use_cache(**settings):
        settings = DistillSettings(out=tmp_path, **settings)
        return decisions.choose_cache(settings, data, rates, timings)[0]

    assert use_cache() and use_cache(kd_flags="--kd-output-weight 1 --kd-temperature 2")
    assert not use_cache(kd_flags="--kd-output-weight 0 --kd-hidden-weight=1")
    with pytest.raises(ValueError, match="--cache yes: expected no intermediate losses in --kd-fl"):
        use_cache(kd_flags="--kd-hidden-weight 1", cache="yes")


def test_the_tokenizer_is_found_beside_the_teacher_or_where_it_was_fine_tuned_from(
    tmp_path, monkeypatch
):
    encoder, run, other = (tmp_path / x for x in ("encoder", "run", "other"))
    for folder in (encoder, other):
        folder.mkdir()
        (folder / "vocab.txt").write_text("[UNK]\na\n")
        (folder / "encoding.json").write_text('{"--bpe": "bert", "--bpe-vocab-file": "vocab.txt"}')

    def find(path, start=None, **settings):
        cfg = SimpleNamespace(checkpoint=SimpleNamespace(finetune_from_model=start))
        teacher = SimpleNamespace(path=path, cfg=cfg)
        settings = DistillSettings(**{"serve": "onnx:int8", **settings})
        chosen, choices = decisions.choose_tokenizer(settings, teacher)
        return chosen.tokenizer, [choice.reason for choice in choices]

    start = str(encoder / "model.pt")
    assert find(encoder / "model.pt") == (encoder, [f"Beside {start}"])
    assert find(run / "best.pt", start) == (encoder, [f"Beside {start}"])
    assert find(run / "best.pt", serve="none") == (None, [])
    missing, (reason,) = find(run / "best.pt", "no/model.pt")
    assert missing is None and "reads tokens, separated by spaces, instead of text" in reason
    assert find(run / "best.pt", start, tokenizer=other) == (other, [decisions.ASKED])
    assert find(run / "best.pt", start, sentencepiece_model=Path("spm.model")) == (None, [])
    (other / "vocab.txt").unlink()
    with pytest.raises(ValueError, match=f"--tokenizer {other}: expected a folder of lightpaff co"):
        find(run / "best.pt", tokenizer=other)
    served = {"serve": "ctranslate2:int8"}
    assert find(run / "best.pt", start, **served) == (None, [])
    assert find(run / "best.pt", start, **served, keep_tokens="99%")[0] == encoder
    with pytest.raises(ValueError, match="other: no effect with --serve ctranslate2:int8 without"):
        find(run / "best.pt", start, **served, tokenizer=other)
    monkeypatch.setattr(decisions.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="reads text by the package tokenizers: pip install tok"):
        find(run / "best.pt", start)
    assert find(run / "best.pt", start, serve="none")[0] == encoder
    with pytest.raises(ValueError, match="a report, which needs matplotlib and jinja2: pip inst"):
        decisions.check_report()
