"""Half precision makes the updates of the float32 run: on the CPU where fairseq supports it, and on
a GPU if there is one.

`--amp` needs a GPU; what it does to the loss is autocast, see
`test_criterions.py::test_autocast_follows_float32`.
"""

import fairseq_cli.train
import pytest
import torch

import toy
from caching import build_cache
from cases import CASES

pytestmark = pytest.mark.slow

# largest relative difference after three updates: float16 keeps 11 bits, bfloat16 8
MODES = {
    "fp16": (("--fp16", "--fp16-no-flatten-grads"), 0.01),
    "memory-efficient-fp16": (("--memory-efficient-fp16",), 0.01),
    "bf16": (("--bf16",), 0.08),
    "memory-efficient-bf16": (("--memory-efficient-bf16",), 0.08),
}
GPU_MODES = {
    **MODES,
    "fp16": (("--fp16",), 0.01),
    "amp": (("--fp16", "--amp"), 0.01),
}
# scripts/gpu.sh runs these on a machine with a GPU; the modes of the CPU run everywhere
NEEDS_GPU = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="fairseq's --fp16 and --amp need CUDA"
)
# With a large epsilon Adam follows the gradients themselves, not only their signs; the steps are
# large compared with the rounding of the weights, which is not tested here.
RUN = ("--lr", 20, "--adam-eps", 1.0, "--batch-size", 6, "--max-update", 3, "--seed", 4)
RUN += ("--disable-validation",)


def updates(case, data, folder, *flags):
    """Train; return the change of all parameters as one vector."""
    argv = case.argv(data, *RUN, "--criterion", case.name, *flags)
    quiet = ("--log-format", "none", "--no-progress-bar", "--num-workers", 0)
    cfg = toy.parse(*argv, *quiet, "--save-dir", folder)
    before = toy.build(*case.argv(data), "--seed", 4)[1].state_dict()
    fairseq_cli.train.main(cfg)
    state = toy.checkpoint(folder / "checkpoint_last.pt")
    assert state["optimizer_history"][-1]["num_updates"] == 3
    after = state["model"]
    floating = [name for name, x in before.items() if x.is_floating_point() and x.numel() > 1]
    return torch.cat([(after[n].float() - before[n]).flatten() for n in floating])


DEVICES = pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_GPU])]
)


@DEVICES
@pytest.mark.parametrize("name", ["kd_mlm", "kd_lm", "kd_ss", "kd_lu"])
def test_updates_equal_those_of_float32(settings, name, device, tmp_path):
    case = next(c for c in CASES if c.name == name)
    setting = settings(case)
    flags = ("--kd-teacher", setting.path, "--kd-lambda", 0.7)
    compare(case, setting.data, tmp_path, device, *flags)


@DEVICES
def test_updates_from_a_cache_equal_those_of_float32(settings, device, tmp_path):
    case = next(c for c in CASES if c.name == "kd_ss")
    setting = settings(case)
    assert build_cache(setting, tmp_path / "cache", "--topk", 5) == 0
    flags = ("--kd-cache", tmp_path / "cache", "--kd-divergence", "jsd")
    compare(case, setting.data, tmp_path, device, *flags)


@pytest.mark.gpu
@NEEDS_GPU
@pytest.mark.parametrize("name", ["kd_mlm", "kd_lm", "kd_ss", "kd_lu"])
def test_updates_on_the_gpu_are_those_of_the_cpu(settings, name, tmp_path):
    case = next(c for c in CASES if c.name == name)
    setting = settings(case)
    flags = ("--kd-teacher", setting.path, "--kd-lambda", 0.7, "--kd-hidden-weight", 1)
    cpu = updates(case, setting.data, tmp_path / "cpu", *flags, "--cpu")
    gpu = updates(case, setting.data, tmp_path / "cuda", *flags)
    assert (gpu - cpu).norm() <= 1e-3 * cpu.norm()  # the GPU adds in another order


def compare(case, data, folder, device, *flags):
    modes = GPU_MODES if device == "cuda" else MODES
    flags += () if device == "cuda" else ("--cpu",)
    float32 = updates(case, data, folder / "full", *flags)
    assert float32.norm() > 0.5
    for mode, (more, tolerance) in modes.items():
        half = updates(case, data, folder / mode, *flags, *more)
        assert (half - float32).norm() <= tolerance * float32.norm(), mode
