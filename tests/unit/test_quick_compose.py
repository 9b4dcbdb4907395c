"""The tests' own way to compose a configuration gives hydra's result."""

import fairseq.dataclass.utils as fairseq_utils
import pytest

import quick_compose
import toy
from cases import CASES


@pytest.mark.slow
def test_equal_to_hydra(tmp_path, monkeypatch):
    assert fairseq_utils.compose is quick_compose.compose
    flags = ("--lr", "0.1,0.2", "--seed", 3, "--restore-file", 'it\'s a "file"', "--adam-betas")
    lines = [(*case.argv(tmp_path), *flags, "(0.9, 0.98)") for case in CASES]
    quick = [toy.parse(*words) for words in lines]
    again = [toy.parse(*words) for words in lines]  # from the stored templates
    monkeypatch.setattr(fairseq_utils, "compose", quick_compose.hydra_compose)
    assert quick == again == [toy.parse(*words) for words in lines]
    assert len(quick) == len(CASES) > 5
    assert quick[0].checkpoint.restore_file == 'it\'s a "file"'
