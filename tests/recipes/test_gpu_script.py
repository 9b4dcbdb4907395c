"""scripts/gpu.sh: every step is a command of ours, and a failing one does not stop the others."""

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from lightpaff_fairseq.benchmark.step_models import FAMILIES
from lightpaff_fairseq.cli.main import build_parser

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu.sh"
# Answers as a Python on a machine with a GPU would, and records what is run; with REAL, runs some.
STUB = f"""#!{sys.executable}
import json, os, signal, sys, time
if sys.argv[1] == "-c":
    sys.exit("cuda" in sys.argv[2] and "GPU" not in os.environ)
with open(os.environ["RECORD"], "a") as record:
    record.write(json.dumps(sys.argv[2:]) + "\\n")
if sys.argv[3:4] and sys.argv[3] in os.environ.get("REAL", "").split():
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
print("some output", flush=True)
if os.environ.get("HANG", "nothing") in sys.argv:
    os.kill(os.getppid(), signal.SIGALRM)  # as timeout's own clock does
    time.sleep(60)
sys.exit(os.environ.get("FAIL", "nothing") in sys.argv)
"""


@pytest.fixture
def run(tmp_path):
    stub, record, out = (tmp_path / name for name in ("python", "record", "the results"))
    stub.write_text(STUB)
    stub.chmod(0o755)

    def run(*argv, **variables):
        env = {**os.environ, "PYTHON": str(stub), "RECORD": str(record), "OUT": str(out)}
        command = ["bash", str(SCRIPT), *argv]
        done = subprocess.run(command, env={**env, **variables}, capture_output=True, text=True)
        lines = record.read_text().splitlines() if record.exists() else []
        return done, [json.loads(line) for line in lines], out

    return run


def arguments(calls):
    """The parsed command lines of lightpaff; those of pytest must name files that exist."""
    for module, *argv in calls:
        if module == "pytest":
            assert all(Path(x).is_file() for x in argv if x.endswith(".py"))
        elif module == "lightpaff_fairseq.cli.main":
            args, more = build_parser().parse_known_args(argv)
            assert not more
            yield args


@pytest.mark.parametrize("mode", ["gpu", "dry run"])
def test_every_step_is_a_command_of_ours(run, mode):
    done, calls, out = run(GPU="1") if mode == "gpu" else run("--dry-run")
    # the stub makes no text, so the step `data` ends before fairseq-preprocess
    parsed = list(arguments(calls))
    benchmarks = [args for args in parsed if args.command == "benchmark"]
    device = "cuda" if mode == "gpu" else "cpu"
    assert all(args.device == device and args.json.parent == out for args in benchmarks)
    steps = [args for args in benchmarks if args.what == "step"]
    assert {(args.family, args.dtype) for args in steps} == {
        (family, dtype) for family in FAMILIES for dtype in ("float16", "bfloat16")
    }
    losses = [args for args in benchmarks if args.what == "loss"]
    assert all(len(args.over[0]) == 4 and "fused-triton" in args.peers for args in losses)
    assert len({args.dtype for args in losses}) == (3 if mode == "gpu" else 1)
    distill = next(args for args in parsed if args.command == "distill")
    assert "--bf16" in distill.train_flags and Path(distill.teacher).is_file()
    limits = re.findall(r"^\[gpu\] (\w+), at most (\d+) s", done.stdout, re.MULTILINE)
    assert (mode == "gpu") == (int(limits[-1][1]) <= 600)  # all steps together
    assert len(list(out.glob("*.log"))) == len(limits)


def test_a_step_that_fails_or_hangs_does_not_stop_the_others(run):
    done, calls, out = run(GPU="1", FAIL="bert", HANG="doctor", STEP_DTYPES="float16")
    assert done.returncode == 1
    named = done.stderr.rpartition("NAME.log: ")[2]
    assert "doctor (time limit)" in named and "step_bert_float16" in named and "gpt2" not in named
    assert "distill" in calls[-1]
    steps = (out / "steps.txt").read_text()
    assert re.search(r"^step_bert_float16: \d+ s, exit code 1$", steps, re.M)
    with tarfile.open(out / "results.tar.gz") as archive:
        assert {"steps.txt", "./distill.log"} <= set(archive.getnames())
    again, _, _ = run(GPU="1")
    assert again.returncode == 2 and "expected a new folder" in again.stderr


def test_without_a_gpu_or_with_a_typo_nothing_is_made(run):
    for argv, words in ((), "finds no GPU"), (("--dryrun",), "--dryrun: expected --dry-run"):
        done, calls, out = run(*argv)
        assert done.returncode == 2 and words in done.stderr
        assert not calls and not out.exists()


def test_the_benchmarks_of_a_dry_run(run):
    done, _, out = run("--dry-run", REAL="doctor benchmark", FAMILIES="mass", STEP_DTYPES="float16")
    codes = dict(re.findall(r"^(\w+): \d+ s, exit code (\d+)$", done.stdout, re.MULTILINE))
    real = ("doctor", "loss_bfloat16", "step_mass_float16", "inference")
    assert {name: codes[name] for name in real} == dict.fromkeys(real, "0"), done.stdout
    loss, step, _ = (json.loads((out / f"{name}.json").read_text()) for name in real[1:])
    assert [point["value"] for point in loss["curves"]["vocab"]] == [20, 30, 40]
    assert step["dtype"] == "float16" and step["tokens_per_second"]["kd"] > 0
