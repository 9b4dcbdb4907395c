"""`--bf16` needs no TPU."""

import pytest

import toy


def test_bf16_is_no_tpu(tmp_path):
    for flag in ("--bf16", "--memory-efficient-bf16"):
        common = toy.parse(tmp_path, "--arch", "transformer", flag).common
        assert common.bf16 and not common.tpu
    common = toy.parse(tmp_path, "--arch", "transformer", "--bf16", "--tpu").common
    assert common.bf16 and common.tpu, "no device is chosen silently"


def test_both_halves_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        toy.parse(tmp_path, "--arch", "transformer", "--bf16", "--fp16")
    assert "error: --fp16, --bf16: expected one of them, got both" in capsys.readouterr().err
