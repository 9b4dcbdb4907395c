"""Join the processes that torchrun or srun started into one training, with and without GPUs."""

import os
import random
import subprocess
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import open_dict

FIRST_PORT, LAST_PORT = 10_000, 60_000  # as fairseq chooses on one machine
HOSTS = ("scontrol", "show", "hostnames")


@dataclass(frozen=True)
class Launched:
    """This process among those that one launcher started.

    Attributes:
        by: torchrun, srun or mpirun.
        variable: name of the environment variable that holds `tasks`.
        tasks: number of processes on all machines.
        rank, local_rank: of this process, on all machines and on its own, from 0; rank is None if
            it is not in the environment.
    """

    by: str
    variable: str
    tasks: int
    rank: int | None
    local_rank: int


# Launcher; variables of tasks, rank, local rank. Slurm: "Output environment variables" of srun
# (https://slurm.schedmd.com/srun.html): the step's, since a batch script, which runs once, has
# SLURM_NTASKS and SLURM_PROCID, too. Then Open MPI, then MPICH and Intel MPI.
LAUNCHERS = (
    ("torchrun", "WORLD_SIZE", "RANK", "LOCAL_RANK"),
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
    ("mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("mpirun", "PMI_SIZE", "PMI_RANK", "MPI_LOCALRANKID"),
)


def launched() -> Launched | None:
    """Return this process's place among several, or None if it was started alone.

    Raises:
        ValueError: a variable is not a number.
    """
    for by, *names in LAUNCHERS:
        tasks, rank, local_rank = map(_number, names)
        if (tasks or 1) > 1:
            return Launched(by, names[0], tasks or 1, rank, local_rank or 0)
    return None


def join(launch: Any) -> None:
    """Set rank and rendezvous of a training as torchrun or srun started it.

    fairseq itself does so only with `--distributed-world-size` above 1, and otherwise every process
    trains a model of its own. Without a GPU it divides by zero; under srun it needs
    `--distributed-port`. One srun task per machine of several GPUs is left to fairseq, which
    starts a process per GPU there.

    Args:
        launch: fairseq's section distributed_training; changed in place, unless it has
            `--distributed-init-method`.
    Raises:
        ValueError: Slurm does not tell the names of the machines.
    """
    place = launched()
    if launch.distributed_init_method is not None or place is None or place.rank is None:
        return
    with open_dict(launch):
        if place.by == "torchrun":
            _join(launch, place, "env://")
        elif place.by == "srun":
            if launch.distributed_port <= 0:
                launch.distributed_port = _port_of_step()
            if not _is_machine(place):
                _join(launch, place, f"tcp://{_first_host(place)}:{launch.distributed_port}")


def use_own_gpu(place: Launched) -> None:
    """Choose the GPU of this process's local rank, where a machine shows several."""
    gpus = torch.cuda.device_count()
    if gpus:
        torch.cuda.set_device(place.local_rank % gpus)


def _number(name: str) -> int | None:
    """Return an environment variable as a number; None if it is empty or not set."""
    value = os.environ.get(name)
    if value and not value.isdecimal():
        raise ValueError(f"environment variable {name}: expected a number, got {value}")
    return int(value) if value else None


def _join(launch: Any, place: Launched, rendezvous: str) -> None:
    launch.distributed_init_method = rendezvous
    launch.distributed_world_size, launch.distributed_rank = place.tasks, place.rank
    launch.distributed_no_spawn = True
    gpus = torch.cuda.device_count()  # 1 where Slurm shows every task its own
    launch.device_id = place.local_rank % gpus if gpus else 0


def _is_machine(place: Launched) -> bool:
    """Return true for the only task of a machine with several GPUs."""
    nodes = _number("SLURM_STEP_NUM_NODES") or _number("SLURM_NNODES")
    return place.tasks == nodes and torch.cuda.device_count() > 1


def _port_of_step() -> int:
    """Return a port that all tasks of a Slurm step choose."""
    step = f"{os.environ.get('SLURM_JOB_ID')}.{os.environ.get('SLURM_STEP_ID')}"
    return random.Random(step).randint(FIRST_PORT, LAST_PORT)


def _first_host(place: Launched) -> str:
    """Return the name of the machine of rank 0."""
    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST") or ""
    try:
        found = subprocess.run([*HOSTS, nodes], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        detail = (getattr(error, "stderr", "") or str(error)).strip()
        raise ValueError(
            f"srun started {place.tasks} processes, but `{' '.join(HOSTS)} {nodes}` failed "
            f"({detail}): add --distributed-init-method tcp://HOST:PORT of the first machine, "
            f"--distributed-world-size {place.tasks}, --distributed-rank $SLURM_PROCID, "
            "--device-id $SLURM_LOCALID and --distributed-no-spawn"
        ) from error
    return found.stdout.split()[0]
