"""examples/cluster/torchrun.sh on two machines of two processes: two network namespaces."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import launches
import toy
from cases import CASES
from setting import Setting

ROOT = Path(__file__).resolve().parents[2]
RUN = ("--lr", 0.05, "--batch-size", 4, "--max-update", 2, "--disable-validation", "--seed", 2)
RUN += ("--optimizer", "sgd", "--update-epoch-batch-itr", True, "--no-progress-bar")


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


@pytest.fixture
def machines():
    """Names of two network namespaces, joined by a cable; 10.77.0.1 and 10.77.0.2."""
    names = [f"kd{os.getpid()}{side}" for side in "ab"]
    if shutil.which("ip") is None or ip("netns", "add", names[0]).returncode:
        pytest.skip("this machine allows no network namespaces")
    try:
        ip("netns", "add", names[1])
        cable = [f"v{os.getpid()}{side}" for side in "ab"]
        ip("link", "add", cable[0], "type", "veth", "peer", "name", cable[1])
        for i, (name, end) in enumerate(zip(names, cable, strict=True)):
            ip("link", "set", end, "netns", name, "name", "eth0")
            ip("-n", name, "addr", "add", f"10.77.0.{i + 1}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", name, "link", "set", device, "up")
        yield names
    finally:
        for name in names:
            ip("netns", "del", name)


def test_four_processes_of_two_machines_equal_one(tmp_path, machines):
    setting = Setting(case := CASES[0], tmp_path)
    kd = ("--criterion", case.name, "--kd-teacher", setting.path)
    argv = case.argv(setting.data, *RUN, *kd)
    toy.train(*argv, "--update-freq", 4, "--save-dir", tmp_path / "one")
    words = (*argv, *launches.CPU, "--num-workers", 0, "--save-dir", tmp_path / "four")
    environ = {**os.environ, "NODES": "2", "GPUS": "2", "HEAD": "10.77.0.1"}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ["GLOO_SOCKET_IFNAME"] = "eth0"  # the name of this machine is none of the namespace
    script = ["bash", str(ROOT / "examples" / "cluster" / "torchrun.sh"), *map(str, words)]
    runs = [
        subprocess.Popen(
            ["ip", "netns", "exec", name, *script],
            env={**environ, "NODE_RANK": str(rank)},
            stdout=(tmp_path / f"machine{rank}").open("w"),
            stderr=subprocess.STDOUT,
        )
        for rank, name in enumerate(machines)
    ]
    codes = [run.wait(timeout=300) for run in runs]
    assert codes == [0, 0], [(tmp_path / f"machine{i}").read_text()[-2000:] for i in (0, 1)]
    one, four = (toy.checkpoint(tmp_path / x / "checkpoint_last.pt") for x in ("one", "four"))
    assert four["cfg"]["distributed_training"]["distributed_world_size"] == 4
    for key, value in one["model"].items():
        torch.testing.assert_close(four["model"][key], value, rtol=1e-4, atol=1e-6)
