"""Derive configurations of transformers: all reasons against a class, and ids of special tokens."""

import pytest

pytest.importorskip("tokenizers")

import toy
from conversions import SMALL, TRANSLATION, from_hf, read_json, refusal, save_student, to_hf
from hf_folders import T, marian

pytestmark = pytest.mark.hf


@pytest.mark.slow
def test_reasons_against_a_class_come_at_once(tmp_path, capsys):
    data = toy.write_monolingual(tmp_path / "data")
    flags = ["--task", "language_modeling", "--arch", "transformer_lm", "--decoder-layers", 1]
    flags += ["--decoder-attention-heads", 2, "--tokens-per-sample", 16]
    path = tmp_path / "lm.pt"
    save_student(data, path, *flags)
    error = refusal(capsys, "--from", "fairseq", path, "--to", "hf", tmp_path / "out")
    assert "decoder_learned_pos: expected True, got False" in error
    assert "no_scale_embedding: expected True, got False" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_student_starts_and_ends_with_its_teachers_tokens(tmp_path, capsys):
    source = marian(tmp_path / "hf")
    out, path = from_hf(source, tmp_path / "teacher"), tmp_path / "student.pt"
    for side in ("source", "target"):
        toy.write_split(out / f"train.source-target.{side}", [[*range(5, 12), 2]] * 3)

    flags = [*SMALL, *TRANSLATION, "--source-lang", "source", "--target-lang", "target"]
    save_student(out, path, "--arch", "transformer", *flags)
    argv = ("--from", "fairseq", path, "--data", out, "--to", "hf", tmp_path / "s")
    error = refusal(capsys, *argv)
    assert "sinusoidal positions: expected <pad> with the id 1, got" in error
    save_student(out, path, "--arch", "transformer_mass_tiny", *flags)
    config = read_json(to_hf(path, tmp_path / "s", "--data", out), "config.json")
    ends = {config[f"{name}_token_id"] for name in ("eos", "decoder_start", "forced_eos")}
    assert ends == {T.AutoTokenizer.from_pretrained(source).eos_token_id} == {0}
