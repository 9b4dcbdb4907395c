"""The recipe with stubs for its commands, and a finished run of it."""

import gzip
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from recording import RECIPE, STUB, VOCAB


def stubbed_recipe(folder):
    """A recipe that runs in `folder` with stubs for its commands.

    Its `run(script, **variables)` runs a script; `calls()` returns what was recorded since.
    """
    binaries, tsv, record = folder / "bin", folder / "tsv", folder / "record"
    binaries.mkdir()
    tsv.mkdir()
    for name in ("fairseq-train", "fairseq-preprocess", "lightpaff"):
        (binaries / name).write_text(STUB)
        (binaries / name).chmod(0o755)
    (binaries / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (binaries / "python").chmod(0o755)
    for split, lines in (("train", 400), ("valid", 10), ("test", 10)):
        with gzip.open(RECIPE / "data" / "train.tsv.gz", "rt", encoding="utf-8") as whole:
            head = list(itertools.islice(whole, lines))
        with gzip.open(tsv / f"{split}.tsv.gz", "wt", encoding="utf-8") as file:
            file.writelines(head)
    out = folder / "a folder"
    environment = {**os.environ, "BIN": str(binaries), "TSV": str(tsv), "VOCAB": VOCAB}
    environment.update(OUT=str(out), RECORD=str(record))

    def run(script, **variables):
        arguments = variables.pop("ARGUMENT", "").split()  # of the script
        command = ["bash", str(script), *arguments]
        env = {**environment, **variables}
        return subprocess.run(command, env=env, capture_output=True, text=True, cwd="/")

    def calls():
        lines = record.read_text().splitlines() if record.exists() else []
        record.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    return SimpleNamespace(run=run, calls=calls, out=out, environment=environment)


def finish(recipe):
    """Runs all steps; adds what was printed (`output`) and called (`recorded`)."""
    done = recipe.run(RECIPE / "run.sh")
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(**vars(recipe), output=done.stdout, recorded=recipe.calls())


@pytest.fixture
def recipe(tmp_path):
    return stubbed_recipe(tmp_path)


@pytest.fixture
def finished(recipe):
    """A finished run that the test may change."""
    return finish(recipe)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A finished run to look at: the tests of a module share it."""
    return finish(stubbed_recipe(tmp_path_factory.mktemp("recipe")))
