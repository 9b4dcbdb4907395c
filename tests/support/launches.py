"""Launchers of several processes, as torchrun and srun are: every process has its environment."""

import os
import socket
import subprocess
import sys
from pathlib import Path

# fairseq-train whose process is killed before its fifth update
KILLED = """
import os, signal, sys
from fairseq.trainer import Trainer
from fairseq_cli.train import cli_main

def dying(self, *args, step=Trainer.train_step, **kwargs):
    if self.get_num_updates() == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args, **kwargs)

Trainer.train_step = dying
cli_main()
"""
CPU = ("--cpu", "--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def of_torchrun(tasks, folder):
    """What torchrun puts into the environment of its processes."""
    common = {"WORLD_SIZE": tasks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return [{**common, "RANK": rank, "LOCAL_RANK": rank} for rank in range(tasks)]


def of_srun(tasks, folder):
    """What srun does on two nodes (https://slurm.schedmd.com/srun.html), and a `scontrol`.

    The node list is one name, since both "nodes" are this machine.
    """
    (scontrol := folder / "bin" / "scontrol").parent.mkdir(parents=True, exist_ok=True)
    scontrol.write_text(
        '#!/bin/sh\n[ "$1 $2 $3" = "show hostnames node[1-2]" ] && echo localhost\n'
    )
    scontrol.chmod(0o755)
    common = {
        "SLURM_JOB_ID": os.getpid(),
        "SLURM_STEP_ID": free_port(),  # the port is derived from both
        "SLURM_NTASKS": tasks,
        "SLURM_STEP_NUM_TASKS": tasks,
        "SLURM_STEP_NUM_NODES": 2,
        "SLURM_NNODES": 2,
        "SLURM_STEP_NODELIST": "node[1-2]",
        "PATH": f"{scontrol.parent}{os.pathsep}{os.environ['PATH']}",
    }
    return [{**common, "SLURM_PROCID": i, "SLURM_LOCALID": i // 2} for i in range(tasks)]


def start(launcher, tasks, folder, *argv, killed=None):
    """Start fairseq-train by a launcher; return the processes, with their output in `folder`/rankN.

    Args:
        killed: the rank whose process is killed before its fifth update.
    """
    train = ("-m", "fairseq_cli.train")
    Path(folder).mkdir(parents=True, exist_ok=True)
    return [
        subprocess.Popen(
            [sys.executable, *(("-c", KILLED) if rank == killed else train), *map(str, argv)],
            env={**os.environ, **{k: str(v) for k, v in environ.items()}},
            stdout=(Path(folder) / f"rank{rank}").open("w"),
            stderr=subprocess.STDOUT,
        )
        for rank, environ in enumerate(launcher(tasks, folder))
    ]


def run(launcher, tasks, folder, *argv):
    """Start fairseq-train by a launcher, and wait until all processes have succeeded."""
    ranks = start(launcher, tasks, folder, *argv)
    codes = [rank.wait(timeout=300) for rank in ranks]
    outputs = [(Path(folder) / f"rank{i}").read_text()[-900:] for i in range(tasks)]
    assert codes == [0] * tasks, outputs
