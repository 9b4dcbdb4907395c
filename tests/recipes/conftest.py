"""A recipe with stubs for its commands, and finished runs of tatoeba_sv_en."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from datasets import texts, write_data
from recording import RECIPE, ROOT, STUB

VOCAB = "420"  # bytes, letters and a few pieces


def stubbed(folder, name=RECIPE.name):
    """A recipe with its data, stubs for the commands, and a sacrebleu that prints sentences.

    Its `run(script, **variables)` runs a script, by default the recipe's run.sh; `calls()` returns
    what was recorded since. Encoding copies the text, which saves a process for every file.
    """
    binaries, record, out = folder / "bin", folder / "record", folder / "a folder"
    binaries.mkdir(parents=True)
    sacrebleu = "#!/bin/sh\ncat <<'EOF'\n" + "\n".join(texts(7)[0]) + "\nEOF\n"
    stubs = dict.fromkeys(("fairseq-train", "fairseq-preprocess", "lightpaff"), STUB)
    stubs |= {"python": f'#!/bin/sh\nexec {sys.executable} "$@"\n', "sacrebleu": sacrebleu}
    for command, text in stubs.items():
        (binaries / command).write_text(text)
        (binaries / command).chmod(0o755)
    environment = {**os.environ, "BIN": str(binaries), "OUT": str(out), "RECORD": str(record)}
    environment.update(write_data(name, folder), CHECK_DATA="no", VOCAB=VOCAB, ENCODE="copy")

    def run(script="run.sh", **variables):
        arguments = variables.pop("ARGUMENT", "").split()  # of the script
        command = ["bash", str(ROOT / "examples" / name / script), *arguments]
        env = {**environment, **variables}
        return subprocess.run(command, env=env, capture_output=True, text=True, cwd="/")

    def calls():
        lines = record.read_text().splitlines() if record.exists() else []
        record.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    return SimpleNamespace(run=run, calls=calls, out=out, environment=environment)


@pytest.fixture
def recipe(tmp_path):
    return stubbed(tmp_path)


@pytest.fixture
def finished(recipe):
    """A finished run that the test may change."""
    done = recipe.run()
    assert done.returncode == 0, done.stderr
    recipe.calls()
    return recipe
