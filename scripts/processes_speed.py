"""Print how fast two processes train on the CPU, next to one that takes the same steps.

    python scripts/processes_speed.py DATA TEACHER                 # a Markdown table
    python scripts/processes_speed.py DATA TEACHER --dropout 0.1  # more flags of fairseq-train

DATA is binarized translation data with one dictionary, TEACHER a checkpoint; give its limits of
positions as flags. The student is transformer_mass_tiny. Two processes share the batches that one
process accumulates with `--update-freq 2`. One thread per process; target tokens per second as
fairseq logs them, without startup and the first updates; the trainings are interleaved. Needs an
idle core per process.
"""

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import lightpaff_fairseq

INTERVAL, INTERVALS, ROUNDS = 10, 6, 3  # updates per measurement; the first one is left out
ARCH, TOKENS = "transformer_mass_tiny", 1000
USER_DIR = str(Path(lightpaff_fairseq.__file__).parent)
SPEED = re.compile(r'\| train_inner \|.*"wps": "([\d.]+)"')


def command(data: str, teacher: str, more: list[str], folder: str) -> list[str]:
    """Return the training that every process runs."""
    return [
        *(sys.executable, "-m", "fairseq_cli.train", data, "--user-dir", USER_DIR, "--cpu"),
        *("--task", "translation", "--criterion", "kd_ss", "--kd-teacher", teacher),
        *("--arch", ARCH, "--optimizer", "adam", "--lr", "0.0005", "--max-tokens", str(TOKENS)),
        *("--max-update", str(INTERVAL * INTERVALS), "--disable-validation", "--no-save"),
        *("--num-workers", "0", "--log-format", "json", "--log-interval", str(INTERVAL)),
        *("--save-dir", folder, *more),
    ]


def launch_flags(processes: int) -> list[list[str]]:
    """Return the flags of every process."""
    if processes == 1:
        return [["--update-freq", "2"]]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = ["--distributed-world-size", str(processes), "--distributed-no-spawn"]
    shared += ["--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp"]
    shared += ["--distributed-init-method", f"tcp://127.0.0.1:{port}"]
    return [[*shared, "--distributed-rank", str(rank)] for rank in range(processes)]


def tokens_per_second(training: list[str], processes: int) -> float:
    """Train once; return the median over intervals.

    Raises:
        RuntimeError: a process failed; its output is on the standard error.
    """
    ranks = [
        subprocess.Popen(
            [*training, *flags],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL if rank else subprocess.PIPE,
            text=True,
        )
        for rank, flags in enumerate(launch_flags(processes))
    ]
    output = ranks[0].communicate()[0]
    codes = [rank.wait() for rank in ranks]
    speeds = [float(speed) for speed in SPEED.findall(output)][1:]
    if any(codes) or not speeds:
        raise RuntimeError(f"exit codes {codes}, {len(speeds)} measurements: {output[-2000:]}")
    return statistics.median(speeds)


def main(data: str, teacher: str, *more: str) -> None:
    """Train in turn and print a row per number of processes."""
    speeds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        for round_ in range(ROUNDS):
            for processes in (1, 2) if round_ % 2 else (2, 1):
                folder = str(Path(name) / f"{round_}_{processes}")
                training = command(data, teacher, list(more), folder)
                speeds[processes].append(tokens_per_second(training, processes))
    print("| processes | target tokens/s | lowest, highest | times one process |")
    print("|---:|---:|---:|---:|")
    for processes, row in speeds.items():
        ratio = statistics.median(a / b for a, b in zip(row, speeds[1], strict=True))
        spread = f"{min(row):.0f}, {max(row):.0f}"
        print(f"| {processes} | {statistics.median(row):.0f} | {spread} | {ratio:.2f} |")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
