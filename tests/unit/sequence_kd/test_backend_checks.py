"""What --backend ctranslate2 refuses, by name."""

import dataclasses
import importlib.util

import pytest
from fairseq.dataclass.configs import GenerationConfig

from lightpaff_fairseq.sequence_kd.backend_checks import DIFFERENT, backend_problems
from lightpaff_fairseq.sequence_kd.seq_kd_request import SeqKdRequest, fairseq_config

pytestmark = pytest.mark.export
pytest.importorskip("ctranslate2")
OTHER = {"temperature": 0.5, "unkpen": 0.5, "diversity_rate": 0.5}


def messages(tmp_path, *flags, path="x.pt", backend="ctranslate2"):
    request = SeqKdRequest(path, tmp_path / "out", backend)
    argv = [str(tmp_path), "--cpu", *map(str, flags)]
    return backend_problems(fairseq_config(argv, request), request).messages


@pytest.mark.slow
@pytest.mark.parametrize("name", DIFFERENT)
def test_flags_that_ctranslate2_lacks_or_defines_differently(name, tmp_path):
    flag = f"--{name.replace('_', '-')}"
    is_switch = isinstance(DIFFERENT[name][0], bool)
    (message,) = messages(tmp_path, *([flag] if is_switch else [flag, OTHER.get(name, 2)]))
    assert message.startswith(f"{flag}: " if is_switch else f"{flag} {OTHER.get(name, 2)}: ")
    assert message.endswith("use --backend fairseq")
    assert not messages(tmp_path, backend="fairseq")


def test_their_shared_values_are_fairseqs_defaults():
    defaults = {field.name: field.default for field in dataclasses.fields(GenerationConfig)}
    assert {name: shared for name, (shared, _) in DIFFERENT.items()} == {
        name: defaults[name] for name in DIFFERENT
    }
    assert len(DIFFERENT) == 9


def test_flags_that_mean_the_same_are_taken(tmp_path):
    flags = "--beam 4 --nbest 2 --lenpen 0.6 --max-len-a 1.2 --max-len-b 10 --min-len 2"
    assert messages(tmp_path, *flags.split(), "--unnormalized") == []


def test_all_problems_are_listed_at_once(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ctranslate2" else find(name)
    )
    listed = messages(tmp_path, "--fp16", "--unkpen", 1, "--prefix-size", 1, path="a.pt:b.pt")
    assert len(listed) == 5
    assert "pip install 'lightpaff-fairseq[ctranslate2]'" in listed[0]
    assert "does not support ensembles; use --backend fairseq" in listed[-1]


def test_other_tasks_have_language_tokens(tmp_path):
    flags = ("--task", "translation_from_pretrained_bart", "--langs", "a,b")
    (message,) = messages(tmp_path, *flags)
    assert message.startswith("--task translation_from_pretrained_bart: ")
    assert message.endswith("use --backend fairseq")
