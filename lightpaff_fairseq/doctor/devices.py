"""Devices, the precisions that work on them, and which fused kernels are taken there."""

import importlib
from dataclasses import dataclass
from pathlib import Path

import torch
from fairseq import ngram_repeat_block
from fairseq.optim.fused_adam import get_fused_adam_class

from ..losses.dense import LossSettings, dense_distillation_loss
from ..losses.fused import fused_distillation_loss
from ..losses.model_output import LinearOutput

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
ACTIVE = "active"


@dataclass(frozen=True)
class Kernel:
    """A faster implementation that fairseq takes when it finds it.

    Attributes:
        name: what it computes; state: `ACTIVE`, or why it is not; log: the line by which a
            training log shows it, or empty.
    """

    name: str
    state: str
    log: str = ""


def kernels() -> list[Kernel]:
    """fairseq's fused parts and ours, with their state on this machine."""
    on_gpu = torch.cuda.is_available()
    # fairseq.modules gives the first of these names to a function as well
    cross_entropy = importlib.import_module("fairseq.modules.cross_entropy")
    layer_norm = importlib.import_module("fairseq.modules.layer_norm")
    fused_cross_entropy = hasattr(cross_entropy, "xentropy")
    adam = get_fused_adam_class()
    ngram = on_gpu and ngram_repeat_block.is_cuda_extension_usable()
    return [
        Kernel("distillation loss in chunks (ours)", ACTIVE),
        Kernel("LayerNorm (apex)", _state(layer_norm.has_fused_layernorm, on_gpu, "apex")),
        Kernel("Adam (apex)", _state(adam is not None, on_gpu, "apex"), "using FusedAdam"),
        Kernel(
            "cross entropy of --criterion masked_lm (apex)",
            _state(fused_cross_entropy, on_gpu, "apex with --xentropy"),
            "using fused cross entropy",
        ),
        Kernel(
            "--no-repeat-ngram-size in beam search",
            ACTIVE
            if ngram
            else _state(
                ngram_repeat_block.EXTENSION_BUILT,
                on_gpu,
                "fairseq's .cu files, which only its source repository has",
            ),
        ),
    ]


def _state(found: bool, on_gpu: bool, wanted: str) -> str:
    if found and on_gpu:
        return ACTIVE
    return "no GPU" if not on_gpu else f"not installed: needs {wanted}"


def devices() -> list[torch.device]:
    """The CPU and every GPU that PyTorch sees."""
    return [
        torch.device("cpu"),
        *(torch.device("cuda", i) for i in range(torch.cuda.device_count())),
    ]


def precisions(device: torch.device) -> dict[str, str]:
    """For every float type `ok`, or what happens, when the distillation loss is computed in it."""
    return {str(dtype).removeprefix("torch."): _try(device, dtype) for dtype in TOLERANCE}


def _try(device: torch.device, dtype: torch.dtype) -> str:
    """A tiny fused loss against the dense one in float32."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((6, 8), (20, 8), (6, 8), (20, 8))
    exact = [torch.randn(shape, generator=generator) for shape in shapes]
    target = torch.arange(6)
    want = dense_distillation_loss(
        exact[0] @ exact[1].t(), exact[2] @ exact[3].t(), target, LossSettings(0.5)
    ).loss.item()
    try:
        moved = [x.to(device, dtype).requires_grad_() for x in exact]
        student, teacher = (
            LinearOutput(*moved[:2]),
            LinearOutput(*(x.detach() for x in moved[2:])),
        )
        loss = fused_distillation_loss(student, teacher, target.to(device), LossSettings(0.5)).loss
        loss.backward()
        got = loss.item()
    except RuntimeError as error:
        return f"fails: {str(error).splitlines()[0]}"
    wrong = abs(got - want) > TOLERANCE[dtype] * abs(want)
    return f"wrong: a loss of {got:.4f}, expected {want:.4f}" if wrong else "ok"


def device_problems() -> list[str]:
    """GPUs that are there but not used, and precisions that go wrong, a sentence each."""
    problems = []
    if NVIDIA_DRIVER.exists() and torch.version.cuda is None:
        problems.append(
            f"an NVIDIA driver is here, but torch {torch.__version__} is built without CUDA: "
            "install a CUDA build of torch"
        )
    elif NVIDIA_DRIVER.exists() and not torch.cuda.is_available():
        problems.append(
            f"torch is built for CUDA {torch.version.cuda}, but finds no GPU: is the driver "
            "recent enough, is CUDA_VISIBLE_DEVICES empty?"
        )
    for device in devices():
        for name, state in precisions(device).items():
            if state.startswith("wrong"):
                problems.append(f"{device}, {name}: {state}")
    return problems
