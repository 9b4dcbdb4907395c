"""Test every device: its supported precisions, and the fused kernels that are used."""

import importlib
from dataclasses import dataclass
from pathlib import Path

import torch
from fairseq import ngram_repeat_block
from fairseq.optim.fused_adam import get_fused_adam_class
from torch import Tensor

from ..losses.dense import LossSettings, dense_distillation_loss
from ..losses.divergences import Divergence
from ..losses.fused import fused_distillation_loss
from ..losses.kernel_choice import Case, describe
from ..losses.model_output import LinearOutput
from ..problems import Problems

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
ACTIVE = "active"


@dataclass(frozen=True)
class Kernel:
    """A faster implementation that fairseq uses if it is installed.

    Attributes:
        name: what it computes; state: `ACTIVE`, or why it is not; log: the line by which a
            training log shows it, or empty.
    """

    name: str
    state: str
    log: str = ""


def kernels() -> list[Kernel]:
    """List the fused parts of fairseq and of the plug-in, with their state on this machine."""
    # fairseq.modules gives the first of these names to a function as well
    cross_entropy = importlib.import_module("fairseq.modules.cross_entropy")
    layer_norm = importlib.import_module("fairseq.modules.layer_norm")
    return [
        Kernel("distillation loss in chunks (lightpaff_fairseq)", ACTIVE),
        Kernel("distillation loss in one kernel (lightpaff_fairseq)", _triton_state()),
        Kernel("LayerNorm (apex)", _state(layer_norm.has_fused_layernorm, "apex")),
        Kernel(
            "Adam (apex)", _state(get_fused_adam_class() is not None, "apex"), "using FusedAdam"
        ),
        Kernel(
            "cross entropy of --criterion masked_lm (apex)",
            _state(hasattr(cross_entropy, "xentropy"), "apex with --xentropy"),
            "using fused cross entropy",
        ),
        Kernel(
            "--no-repeat-ngram-size in beam search",
            _state(
                ngram_repeat_block.is_cuda_extension_usable(),
                "fairseq's .cu files, which only its source repository has",
            ),
        ),
    ]


def _triton_state() -> str:
    """Try the kernel on the first GPU, at a usual vocabulary."""
    device = devices()[-1]
    case = Case(device, torch.bfloat16, torch.bfloat16, 32000, Divergence(), 1.0)
    return describe("auto", case)


def _state(is_installed: bool, requirement: str) -> str:
    if not torch.cuda.is_available():
        return "no GPU"
    return ACTIVE if is_installed else f"not installed: needs {requirement}"


def devices() -> list[torch.device]:
    """Return the CPU and every GPU that PyTorch sees."""
    gpus = (torch.device("cuda", i) for i in range(torch.cuda.device_count()))
    return [torch.device("cpu"), *gpus]


def precisions(device: torch.device) -> dict[str, str]:
    """Compute the distillation loss in every float type: name -> `ok`, or what happens."""
    return {str(dtype).removeprefix("torch."): _try(device, dtype) for dtype in TOLERANCE}


def _try(device: torch.device, dtype: torch.dtype) -> str:
    """Compare a tiny fused loss with the dense one in float32."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((6, 8), (20, 8), (6, 8), (20, 8))
    exact = [torch.randn(shape, generator=generator) for shape in shapes]
    target, settings = torch.arange(6), LossSettings(0.5)
    logits = exact[0] @ exact[1].t(), exact[2] @ exact[3].t()
    expected = dense_distillation_loss(*logits, target, settings).loss.item()
    try:
        moved = [x.to(device, dtype).requires_grad_() for x in exact]
        student, teacher = LinearOutput(*moved[:2]), LinearOutput(*(x.detach() for x in moved[2:]))
        loss: Tensor = fused_distillation_loss(student, teacher, target.to(device), settings).loss
        torch.autograd.backward(loss)
        computed = loss.item()
    except RuntimeError as error:
        return f"fails: {str(error).splitlines()[0]}"
    if abs(computed - expected) > TOLERANCE[dtype] * abs(expected):
        return f"wrong: a loss of {computed:.4f}, expected {expected:.4f}"
    return "ok"


def device_problems() -> Problems:
    """Return problems with unused GPUs and failing precisions."""
    problems = Problems()
    if NVIDIA_DRIVER.exists() and torch.version.cuda is None:
        problems.add(
            f"an NVIDIA driver is here, but torch {torch.__version__} is built without CUDA: "
            "install a CUDA build of torch"
        )
    elif NVIDIA_DRIVER.exists() and not torch.cuda.is_available():
        problems.add(
            f"torch is built for CUDA {torch.version.cuda}, but finds no GPU: is the driver "
            "recent enough, is CUDA_VISIBLE_DEVICES empty?"
        )
    for device in devices():
        for name, state in precisions(device).items():
            problems.unless(not state.startswith("wrong"), f"{device}, {name}: {state}")
    return problems
