"""A full disk, made by a limit on the size of files, is one sentence and leaves nothing."""

import os
import subprocess
import sys

import pytest
import torch

import export_cases
from export_cases import CASES
from lightpaff_fairseq.disk_errors import disk_error

LIMITED = """import resource, sys
from lightpaff_fairseq.cli.main import build_parser, main
build_parser()  # imports every command: packages write files then
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.exit(main(sys.argv[2:]))
"""


def run(limit, *argv):
    """The exit code and the lines on stderr of a command whose files may have `limit` bytes."""
    words = [sys.executable, "-c", LIMITED, *map(str, (limit, *argv))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    return done.returncode, [x for x in done.stderr.splitlines() if not x.startswith("INFO")]


@pytest.fixture(scope="module")
def translation(tmp_path_factory):
    return export_cases.make(CASES["sinusoidal"], tmp_path_factory.mktemp("full"))


def commands(path, data, out):
    yield ("strip", "--path", path, "--out", out)
    yield ("export", "--path", path, "--data", data, "--to", "ctranslate2", "--out", out)
    yield ("seq-kd", data, "--path", path, "--out", out, "--cpu", "--num-workers", 0)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 100, 1500])
def test_full_disks(translation, tmp_path, limit):
    path, data, _ = translation
    for words in commands(path, data, tmp_path / "out"):
        code, lines = run(limit, *words)
        assert (code, len(lines)) == (1, 1), (words[0], lines)
        assert lines[0].startswith(f"lightpaff {words[0]}: error: ")
        assert not (tmp_path / "out").exists()


def test_what_is_a_full_disk(tmp_path):
    assert disk_error(OSError(28, "No space left on device"))
    assert disk_error(OSError(2, "No such file")) is None
    try:
        try:
            raise OSError(27, "File too large")
        finally:
            raise ValueError("Can't close the ZIP file")
    except ValueError as error:
        assert "File too large" in disk_error(error)
    with pytest.raises(RuntimeError) as caught:
        torch.save({"x": torch.zeros(9)}, "/dev/full")
    assert "is the disk full?" in disk_error(caught.value)
    assert disk_error(RuntimeError("size mismatch")) is None
