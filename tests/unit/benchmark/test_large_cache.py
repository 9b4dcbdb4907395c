"""The benchmark of a reader of a synthetic cache, on a small one."""

import json

from lightpaff_fairseq.cli.main import main


def test_a_synthetic_cache_is_read(tmp_path, capsys):
    argv = ["benchmark", "cache", "--positions", "2e6", "--json", str(tmp_path / "a.json")]
    assert main(argv) == 0
    report = json.loads((tmp_path / "a.json").read_text())
    assert (report["positions"], report["samples"], report["files"]) == (2_000_000, 80_000, 16)
    assert report["file_bytes"] > 2_000_000 * 130 > 20 * report["disk_bytes"]
    assert report["memory"] < 20e6
    assert "memory of the reader" in capsys.readouterr().out
    assert main([*argv[:3], "0.5"]) == 2
    assert "--positions 0.5: expected a number from 1" in capsys.readouterr().err
