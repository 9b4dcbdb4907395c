"""Check flags of `lightpaff convert` before anything is read."""

from conversions import refusal


def test_directions(tmp_path, capsys):
    error = refusal(capsys, "--from", "hf", tmp_path, "--to", "hf", tmp_path / "out")
    assert "--from fairseq --to hf" in error


def test_flags_that_would_have_no_effect(tmp_path, capsys):
    argv = ("--from", "hf", tmp_path, "--to", "fairseq", tmp_path / "out")
    error = refusal(capsys, *argv, "--heads", 3, "--dict", tmp_path / "no", "--data", tmp_path)
    for word in ("--heads: expected with --from mass, got --from hf", "--dict:", "--data:"):
        assert word in error
    assert "--langs '../a': expected" in refusal(capsys, *argv, "--langs", "../a", "b")
    argv = ("--from", "fairseq", tmp_path / "no.pt", "--to", "hf", tmp_path / "out")
    error = refusal(capsys, *argv, "--segment", 0, "--langs", "a", "b")
    assert "--segment: expected with --from hf" in error and "hf or mass, got --from" in error
    assert not (tmp_path / "out").exists()
