"""Processes of torchrun, srun and mpirun, as their environment describes them."""

import subprocess
from types import SimpleNamespace

import pytest
import torch
from fairseq.dataclass.configs import DistributedTrainingConfig, FairseqConfig
from omegaconf import OmegaConf

from lightpaff_fairseq.launch_checks import check_launch_config
from lightpaff_fairseq.launched_processes import LAUNCHERS, join, launched

TORCHRUN = {
    "WORLD_SIZE": "4",
    "RANK": "3",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "a",
    "MASTER_PORT": "1",
}
# what srun sets for task 3 of `srun --nodes 2 --ntasks-per-node 2`
SRUN = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_NNODES": "2",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
SBATCH = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_PROCID": "0"}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}
MPICH = {"PMI_SIZE": "2", "PMI_RANK": "0"}


@pytest.fixture
def environ(monkeypatch):
    def put(variables):
        for _, *names in LAUNCHERS:
            for name in names:
                monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    put({})
    return put


@pytest.fixture
def hosts(monkeypatch):
    """`scontrol show hostnames`, and how many GPUs the machine seems to have."""
    found = SimpleNamespace(stdout="node1\nnode2\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: found)
    return lambda count: monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def config(**flags):
    cfg = OmegaConf.structured(FairseqConfig)
    cfg.model = cfg.criterion = None
    cfg.distributed_training = OmegaConf.structured(DistributedTrainingConfig(**flags))
    cfg.common.cpu = True
    return cfg


@pytest.mark.parametrize("gpus,device", [(0, 0), (1, 0), (2, 1)])
@pytest.mark.parametrize("variables,rendezvous", [(TORCHRUN, "env://"), (SRUN, "tcp://node1:")])
def test_each_process_gets_its_rank(environ, hosts, variables, rendezvous, gpus, device):
    environ(variables)
    hosts(gpus)
    for world_size in (1, 2):  # fairseq's default is the number of GPUs
        launch = config(distributed_world_size=world_size).distributed_training
        join(launch)
        assert launch.distributed_init_method.startswith(rendezvous)
        assert (launch.distributed_world_size, launch.distributed_rank) == (4, 3)
        assert launch.distributed_no_spawn and launch.device_id == device


def test_all_processes_of_a_step_choose_one_port(environ, hosts):
    hosts(0)
    methods = set()
    for rank, job in (("0", "77"), ("3", "77"), ("3", "78")):
        environ({**SRUN, "SLURM_PROCID": rank, "SLURM_JOB_ID": job})
        join(launch := config().distributed_training)
        methods.add(launch.distributed_init_method)
    assert len(methods) == 2
    join(launch := config(distributed_port=5).distributed_training)
    assert launch.distributed_init_method == "tcp://node1:5"


def test_what_the_user_gave_and_single_processes_stay(environ, hosts):
    hosts(8)
    for variables in ({}, {"WORLD_SIZE": "1", "RANK": "0"}, {"PMI_SIZE": ""}, SBATCH):
        environ(variables)
        assert launched() is None
        join(launch := config(distributed_world_size=8).distributed_training)
        assert launch == config(distributed_world_size=8).distributed_training
    environ(TORCHRUN)
    join(launch := config(distributed_init_method="tcp://b:9").distributed_training)
    assert launch.distributed_world_size != 4
    # one task per machine: fairseq starts a process per GPU there, but needs a port
    environ({**SRUN, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"})
    join(launch := config(distributed_world_size=8).distributed_training)
    assert launch.distributed_init_method is None and launch.distributed_port > 0


@pytest.mark.parametrize(
    "variables,words",
    [
        (OPEN_MPI, "OMPI_COMM_WORLD_SIZE=2 .*--distributed-rank \\$OMPI_COMM_WORLD_RANK"),
        (MPICH, "PMI_SIZE=2 .*--distributed-rank \\$PMI_RANK .*tcp://HOST:PORT"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2 .*--distributed-backend gloo --ddp-backend legacy_ddp"),
    ],
)
def test_processes_that_cannot_be_joined_are_refused(environ, variables, words, monkeypatch):
    environ(variables)
    join((cfg := config()).distributed_training)
    with pytest.raises(ValueError, match=words):
        check_launch_config(cfg)
    monkeypatch.setattr("sys.argv", ["fairseq-hydra-train"])
    with pytest.raises(ValueError, match=r" distributed_training\.distributed_world_size=2 "):
        check_launch_config(cfg)


def test_what_is_needed_without_a_gpu_is_named(environ):
    environ(TORCHRUN)
    join((cfg := config()).distributed_training)
    words = "--distributed-backend nccl --ddp-backend pytorch_ddp: expected .*gloo .*legacy_ddp"
    with pytest.raises(ValueError, match=words):
        check_launch_config(cfg)
    cfg.distributed_training.distributed_backend = "gloo"
    cfg.distributed_training.ddp_backend = "legacy_ddp"
    check_launch_config(cfg)


def test_variables_and_machines_that_make_no_sense(environ, monkeypatch):
    environ({**SRUN, "SLURM_PROCID": "x"})
    with pytest.raises(ValueError, match="environment variable SLURM_PROCID: expected a number"):
        launched()
    environ(SRUN)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"srun started 4 .*scontrol.*--distributed-init-method"):
        join(config().distributed_training)


@pytest.mark.parametrize(
    "flags,model,criterion,words",
    [
        ({}, {}, "kd_lu", "--find-unused-parameters because of the head of masked"),
        ({}, {"decoder_layerdrop": 0.1}, "kd_ss", "because of --decoder-layerdrop"),
        ({"ddp_backend": "fully_sharded"}, {}, "kd_lm", "expected pytorch_ddp or legacy_ddp"),
        ({"find_unused_parameters": True}, {}, "kd_lu", None),
        ({"ddp_backend": "legacy_ddp"}, {}, "kd_lu", None),
        ({}, {}, "kd_ss", None),
        ({}, {"decoder_layerdrop": 0.1}, "cross_entropy", None),
    ],
)
def test_wrappers_that_do_not_fit_are_refused(environ, monkeypatch, flags, model, criterion, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cfg = config(distributed_world_size=2, **flags)
    cfg.common.cpu = False
    cfg.criterion, cfg.model = {"_name": criterion}, model
    if words is None:
        check_launch_config(cfg)
    else:
        with pytest.raises(ValueError, match=words):
            check_launch_config(cfg)
    cfg.distributed_training.distributed_world_size = 1
    check_launch_config(cfg)
