"""scripts/processes_speed.py really trains, alone and in two processes, and prints both."""

import re
import runpy
from pathlib import Path

import pytest

from cases import CASES
from setting import Setting

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "processes_speed.py"
pytestmark = pytest.mark.slow
SIZES = {"INTERVAL": 1, "INTERVALS": 3, "ROUNDS": 1, "TOKENS": 40}


@pytest.fixture
def script(monkeypatch):
    found = runpy.run_path(str(SCRIPT))
    for name, value in SIZES.items():
        monkeypatch.setitem(found["main"].__globals__, name, value)
    return found


def test_a_row_per_number_of_processes(script, tmp_path, capsys):
    setting = Setting(next(case for case in CASES if case.name == "kd_ss"), tmp_path)
    positions = ("--max-source-positions", "64", "--max-target-positions", "64")
    script["main"](str(setting.data), str(setting.path), *positions)
    one, two = capsys.readouterr().out.splitlines()[2:]
    assert re.fullmatch(r"\| 1 \| [1-9]\d* \| \d+, \d+ \| 1\.00 \|", one)
    assert re.fullmatch(r"\| 2 \| [1-9]\d* \| \d+, \d+ \| \d+\.\d\d \|", two)


def test_a_training_that_fails_is_no_measurement(script):
    training = [script["sys"].executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(RuntimeError, match=r"exit codes \[3\], 0 measurements"):
        script["tokens_per_second"](training, 1)
