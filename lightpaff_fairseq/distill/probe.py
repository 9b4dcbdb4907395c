"""Time a few updates and untrained models, so that a plan can say how long everything takes."""

import json
import math
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..report.log import parse_line

UPDATES, INTERVAL = 12, 4
REASONS = ("FloatingPointError", "fairseq-train: error: ")  # lines that say why a run failed
SENTENCES = 16  # of the timing of untrained models


@dataclass(frozen=True)
class Speed:
    """Estimates of the speeds of teacher and student.

    Attributes:
        teacher, student: sentences (of a language model: tokens) per second in fairseq.
        served: of the student as it will be served, or None.
    """

    teacher: float
    student: float
    served: float | None


@dataclass(frozen=True)
class Timings:
    """Times on this machine.

    Attributes:
        plain, online: seconds per update of the student without a teacher, and with it.
        pretraining: seconds per update of pre-training with its teacher, or 0.
        speed: of untrained models.
    """

    plain: float
    online: float
    pretraining: float
    speed: Speed


def seconds_per_update(command: Sequence[str]) -> float:
    """Run the first updates of a training without saving, and return the time of an update.

    Raises:
        ValueError: the training fails, or its loss is not a number.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = [*command, "--save-dir", folder, "--no-save", "--disable-validation"]
        words += ["--max-update", str(UPDATES), "--log-interval", str(INTERVAL)]
        words += ["--patience", "-1"]
        done = run(words)
    losses, speeds = [], []
    for line in (done.stdout + done.stderr).splitlines():
        logger, message = parse_line(line) or ("", "")
        if logger == "train_inner" and message.startswith("{"):
            values: dict[str, Any] = json.loads(message)
            losses.append(float(values["loss"]))
            speeds.append(float(values["ups"]))
    if done.returncode or not speeds:
        lines = (done.stdout + done.stderr).strip().splitlines()
        reasons = [line for line in lines if line.startswith(REASONS)] or lines
        last = "".join(reasons[-1:])
        raise ValueError(
            "--lr, --train-flags, --kd-flags, --launch, --init: expected a training that starts, "
            f"but its first {UPDATES} updates ended with exit code {done.returncode}: {last} (the "
            f"command: {shlex.join(words)})"
        )
    if not all(math.isfinite(x) for x in losses):
        raise ValueError(
            f"--lr, --train-flags: expected a finite loss in the first {UPDATES} updates, got "
            f"{', '.join(f'{x:g}' for x in losses)}"
        )
    return 1 / max(speeds[-1], 1e-9)


def untrained_speeds(
    task: str, archs: tuple[str, str], vocabulary: int, length: int, backend: str | None
) -> Speed:
    """Time untrained models on random sentences.

    Args:
        archs: architecture and model flags of teacher and student.
        length: tokens per sentence.
        backend: of `lightpaff benchmark inference`, or None: fairseq only.
    Raises:
        ValueError: the benchmark fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "speed.json"
        words = ["lightpaff", "benchmark", "inference", "--random", "--task", task]
        words += ["--teacher-arch", archs[0], "--student-arch", archs[1]]
        words += ["--vocab", str(vocabulary), "--length", str(max(2, length)), "--threads", "1"]
        words += ["--sentences", str(SENTENCES), "--batch", str(SENTENCES)]
        words += ["--latency-sentences", "1", "--repeats", "1", "--json", str(out)]
        done = run([*words, *(["--backends", backend] if backend else [])])
        if done.returncode:
            last = "".join(done.stderr.strip().splitlines()[-1:])
            raise ValueError(f"timing untrained models failed: {last}")
        rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    speeds = {row["name"]: float(row["per_s"]) for row in rows}
    teacher, student = speeds["teacher fairseq"], speeds.pop("student fairseq")
    served = [value for name, value in speeds.items() if name.startswith("student ")]
    return Speed(teacher, student, served[-1] if backend else None)


def run(words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command of this package or of fairseq, and return its output."""
    return subprocess.run(
        words,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=environment(),
        check=False,
    )


def environment() -> dict[str, str]:
    """Return the environment of all steps: the commands of this Python come first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
