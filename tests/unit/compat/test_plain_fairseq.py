"""With the plug-in imported, stock trainings give plain fairseq's models, bit for bit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import plain_runs
import toy

SCRIPT = Path(plain_runs.__file__)
ROOT = Path(toy.USER_DIR).parent


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    data = (toy.write_parallel(folder / "pairs", 40), toy.write_monolingual(folder / "text", 40))
    out = []
    for words in ((), ("plugin",)):
        place = folder / f"out{len(words)}"
        place.mkdir()
        command = [sys.executable, SCRIPT, *data, place, *words]
        subprocess.run([str(x) for x in command], cwd=ROOT, check=True, capture_output=True)
        out.append(json.loads((place / "results.json").read_text()))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", plain_runs.RUNS)
def test_a_stock_training_is_plain_fairseqs(results, name):
    plain, with_plugin = (result[name] for result in results)
    assert isinstance(plain, dict), plain
    assert with_plugin == plain and {"checkpoint1.pt", "checkpoint_last.pt"} <= plain.keys()
