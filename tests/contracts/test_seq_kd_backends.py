"""`lightpaff seq-kd --backend ctranslate2`: fairseq's hypotheses, or a refusal."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq import tasks

import export_cases
import toy
from lightpaff_fairseq.sequence_kd import assemble, search_sample
from lightpaff_fairseq.sequence_kd.ctranslate2_search import CTranslate2Search
from lightpaff_fairseq.sequence_kd.hypotheses import FORMAT, Plan, read_block
from seq_kd_runs import Killed, error, files, lines, seq_kd

pytestmark = pytest.mark.export
pytest.importorskip("ctranslate2")
FAST = ("--backend", "ctranslate2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained teacher, whose beams end, and its data."""
    path, data, _ = export_cases.make(
        export_cases.CASES["translation"], tmp_path_factory.mktemp("trained")
    )
    return SimpleNamespace(path=path, data=data)


def best(folder):
    """(tokens, score, cut) of the best hypothesis of every source in a folder of hypotheses."""
    plan = Plan(**FORMAT.read(folder / "plan.json"))
    blocks = [read_block(folder / x.file, x.count, plan.checksum) for x in plan.blocks]
    firsts = [x.hypotheses[0] for block in blocks for x in block]
    return [(x.tokens.tolist(), x.score, x.cut) for x in firsts]


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--max-len-a", 0.5, "--max-len-b", 3, "--lenpen", 0.6),
        ("--beam", 1, "--max-len-b", 12),
        ("--unnormalized", "--min-len", 3, "--max-len-b", 12),
    ],
    ids=str,
)
def test_both_backends_write_the_same_corpus(trained, tmp_path, capsys, flags):
    assert seq_kd(trained, tmp_path / "a", *flags) == 0
    assert seq_kd(trained, tmp_path / "b", *FAST, *flags) == 0
    assert "ctranslate2 agrees with fairseq on 37 of 37 sentences" in capsys.readouterr().out
    pair = [best(tmp_path / f"{x}.hypotheses") for x in "ab"]
    assert [(tokens, cut) for tokens, _, cut in pair[0]] == [(x, cut) for x, _, cut in pair[1]]
    scores = [[score for _, score, _ in rows] for rows in pair]
    assert np.allclose(*scores, rtol=0, atol=1e-4)
    a, b = (files(tmp_path / x) for x in "ab")
    reports = [json.loads(x.pop("seq_kd.json")) for x in (a, b)]
    assert a == b and len(lines(tmp_path / "b")) > 30
    recorded = [x["hypotheses"]["generation"].pop("--backend", None) for x in reports]
    assert reports[0] == reports[1] and recorded == [None, "ctranslate2"]
    names = {f"{x}{ending}" for x in "ab" for ending in ("", ".hypotheses")}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_most_sources_are_not_searched_again(trained, tmp_path, monkeypatch):
    decoders, load = [], search_sample.load_decoder
    monkeypatch.setattr(
        assemble, "load_decoder", lambda *a: decoders.append(load(*a)) or decoders[0]
    )
    assert seq_kd(trained, tmp_path / "out", *FAST, "--max-len-b", 12) == 0
    (decoder,) = decoders
    assert isinstance(decoder.search, CTranslate2Search) and decoder.search.repeated < 37 / 2


def test_a_killed_run_continues_with_the_same_backend_only(trained, tmp_path, monkeypatch, capsys):
    assert seq_kd(trained, tmp_path / "a", *FAST) == 0
    real, written = assemble.write_block, []

    def dies_at_the_third(path, answers, plan):
        written.append(path)
        if len(written) == 3:
            raise Killed
        real(path, answers, plan)

    monkeypatch.setattr(assemble, "write_block", dies_at_the_third)
    with pytest.raises(Killed):
        seq_kd(trained, tmp_path / "b", *FAST)
    message = error(trained, tmp_path / "b", capsys)
    assert "--backend: ctranslate2 in the folder, fairseq here" in message
    assert seq_kd(trained, tmp_path / "b", *FAST) == 0
    assert len(written) == 3 + 3
    assert files(tmp_path / "a") == files(tmp_path / "b")
    stored = ("--hypotheses", tmp_path / "a.hypotheses")
    assert seq_kd(trained, tmp_path / "c", *FAST, *stored, "--nbest", 2, "--mix", 0.5) == 0
    assert len(lines(tmp_path / "c")) > len(lines(tmp_path / "b"))
    assert seq_kd(trained, tmp_path / "d") == 0
    stored = ("--hypotheses", tmp_path / "d.hypotheses")
    message = error(trained, tmp_path / "e", capsys, *FAST, *stored)
    assert "--backend: fairseq in the folder, ctranslate2 here" in message


def test_shards_together_are_the_whole(trained, tmp_path):
    assert seq_kd(trained, tmp_path / "whole", *FAST) == 0
    for shard in (1, 0):
        flags = (*FAST, "--num-shards", 2, "--shard-id", shard)
        assert seq_kd(trained, tmp_path / "out", *flags) == 0
    assert files(tmp_path / "whole") == files(tmp_path / "out")


def test_another_result_than_fairseqs_is_refused(trained, tmp_path, capsys, monkeypatch):
    real = CTranslate2Search._hypotheses

    def reversed_tokens(self, result):
        return [(np.append(ids[-2::-1], self.eos), score) for ids, score in real(self, result)]

    monkeypatch.setattr(CTranslate2Search, "_hypotheses", reversed_tokens)
    message = error(trained, tmp_path / "out", capsys, *FAST, "--max-len-b", 12)
    assert "fairseq's best hypothesis and score for at least 95% of 37 sentences, got" in message
    assert message.endswith("use --backend fairseq")
    assert not list(tmp_path.iterdir())


def test_a_teacher_that_cannot_be_exported_is_refused(trained, tmp_path, capsys):
    torch.manual_seed(0)
    case = export_cases.CASES["sinusoidal"]
    words = [x for x in case.argv(trained.data) if x != "--decoder-normalize-before"]
    cfg = toy.parse(*words)
    model = tasks.setup_task(cfg.task).build_model(cfg.model)
    path = toy.save_model(tmp_path / "odd.pt", cfg, model)
    assert seq_kd(trained, tmp_path / "out", *FAST, path=path) == 2
    (message,) = capsys.readouterr().err.strip().splitlines()
    assert "--backend ctranslate2: the teacher cannot be exported" in message
    assert "--decoder-normalize-before must have the same value" in message  # of its training
    assert message.endswith("use --backend fairseq")
    assert [path.name for path in tmp_path.iterdir()] == ["odd.pt"]
