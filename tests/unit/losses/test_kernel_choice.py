"""The choice of what computes the fused loss: reasons against Triton, in one line each."""

import importlib.metadata

import pytest
import torch

from lightpaff_fairseq.losses import Divergence, LossSettings, fused_distillation_loss
from lightpaff_fairseq.losses.kernel_choice import Case, describe, takes_triton, triton_problem
from loss_cases import heads

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """Outside of the interpreter."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)


def missing(_):
    raise importlib.metadata.PackageNotFoundError


@pytest.mark.parametrize(
    "device,dtype,version,words",
    [
        (CPU, torch.float32, lambda _: "3.9.0", "expected CUDA, got cpu"),
        (CUDA, torch.float32, missing, "triton 3.2 or newer, which is not installed"),
        (CUDA, torch.float32, lambda _: "2.1.0", "expected triton 3.2 or newer, got 2.1.0"),
        (CUDA, torch.float64, lambda _: "3.9.0", "float32, bfloat16, float16, got float64"),
        (CUDA, torch.bfloat16, lambda _: "3.10.1+git", None),
    ],
)
def test_why_triton_cannot_run(monkeypatch, device, dtype, version, words):
    monkeypatch.setattr(importlib.metadata, "version", version)
    problem = triton_problem(device, dtype)
    assert problem is None if words is None else words in problem


def test_auto_takes_pytorch_on_a_cpu_and_says_so_and_triton_is_refused():
    case = Case(CPU, torch.float32, torch.float32, 17, Divergence(), 1.0)
    assert not takes_triton("auto", case) and not takes_triton("torch", case)
    assert describe("auto", case) == "PyTorch (the Triton kernel needs CUDA)"
    assert describe("torch", case) == "PyTorch (--kd-kernel torch)"
    student, teacher, target = heads(torch.float32)
    for kernel, words in (
        ("triton", "--kd-kernel triton: expected CUDA, got cpu"),
        ("cuda", "kernel 'cuda': expected one of auto, triton, torch"),
    ):
        with pytest.raises(ValueError, match=words):
            fused_distillation_loss(student, teacher, target, LossSettings(0.5, kernel=kernel))
