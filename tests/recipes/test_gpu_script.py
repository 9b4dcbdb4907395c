"""scripts/gpu.sh: what it asks for exists, and a step that fails does not stop the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightpaff_fairseq.cli.main import build_parser

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu.sh"
# answers as a Python on a machine with a GPU would, and records what is run
STUB = f"""#!{sys.executable}
import json, os, sys
if sys.argv[1] == "-c":
    sys.exit("cuda" in sys.argv[2] and "GPU" not in os.environ)
with open(os.environ["RECORD"], "a") as record:
    record.write(json.dumps(sys.argv[2:]) + "\\n")
print("some output")
sys.exit(os.environ.get("FAIL", "nothing") in sys.argv)
"""


@pytest.fixture
def run(tmp_path):
    stub, record, out = (tmp_path / name for name in ("python", "record", "the results"))
    stub.write_text(STUB)
    stub.chmod(0o755)

    def run(**variables):
        env = {**os.environ, "PYTHON": str(stub), "RECORD": str(record), "OUT": str(out)}
        command = ["bash", str(SCRIPT)]
        done = subprocess.run(command, env={**env, **variables}, capture_output=True, text=True)
        lines = record.read_text().splitlines() if record.exists() else []
        return done, [json.loads(line) for line in lines], out

    return run


def test_every_step_is_a_command_of_ours(run):
    done, calls, out = run(GPU="1")
    assert done.returncode == 0, done.stderr
    modules = [call[0] for call in calls]
    assert modules.count("pytest") == 1 and len(calls) > 8
    for _, *argv in (call for call in calls if call[0] != "pytest"):
        args, more = build_parser().parse_known_args(argv)
        assert not more
        if argv[0] == "benchmark":
            assert args.device == "cuda" and args.json.parent == out
    assert all(Path(x).exists() for call in calls if call[0] == "pytest" for x in call[1:])
    assert len(list(out.glob("*.txt"))) == len(calls)


def test_a_step_that_fails_does_not_stop_the_others(run):
    done, calls, _ = run(GPU="1", FAIL="bert")
    assert done.returncode == 1 and "failed, see their .txt: step_bert\n" in done.stderr
    assert "inference" in calls[-1]


def test_without_a_gpu_nothing_is_made(run):
    done, calls, out = run()
    assert done.returncode == 1 and "finds no GPU" in done.stderr
    assert not calls and not out.exists()
