"""The choice between the Triton kernel and PyTorch for the fused loss (`--kd-kernel`).

`auto` takes Triton on CUDA where it is installed and gives the same loss as PyTorch on a small
chunk of random logits, tried once per device and kind of loss; otherwise PyTorch, with a warning if
the kernel failed. `triton` raises an error instead. With TRITON_INTERPRET=1 `triton` runs on a CPU,
in Triton's interpreter, for tests.
"""

import importlib.metadata
import logging
import os
from functools import cache
from typing import NamedTuple

import torch

from .chunk import Labels, chunk_loss
from .dense import LossSettings
from .divergences import Divergence

logger = logging.getLogger(__name__)

KERNELS = ("auto", "triton", "torch")
MINIMUM_TRITON = (3, 2)  # that of PyTorch 2.6
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
ROWS, TOP_K = 3, 4  # of the chunk that is tried
# largest difference from PyTorch, relative to the largest gradient: rounding, in float32 of sums
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 1e-2, torch.float16: 2e-3}


class Case(NamedTuple):
    """A kind of loss that the kernel is tried on: dtypes of the logits, and `LossSettings`."""

    device: torch.device
    dtype_s: torch.dtype
    dtype_t: torch.dtype | None  # None: a top-k teacher
    vocab: int
    divergence: Divergence
    temperature: float


def is_interpreted() -> bool:
    """Return whether Triton kernels run in its interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def triton_problem(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return why the kernel cannot run on logits of a device and dtype, or None."""
    if device.type != "cuda" and not is_interpreted():
        return f"expected CUDA, got {device.type}"
    least = ".".join(map(str, MINIMUM_TRITON))
    try:
        installed = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return f"expected the package triton {least} or newer, which is not installed"
    numbers = tuple(int(x) for x in installed.split("+")[0].split(".")[:2] if x.isdigit())
    if numbers < MINIMUM_TRITON:
        return f"expected triton {least} or newer, got {installed}"
    if dtype not in DTYPES:
        names = ", ".join(str(x).removeprefix("torch.") for x in DTYPES)
        return f"expected logits in {names}, got {str(dtype).removeprefix('torch.')}"
    return None


def takes_triton(kernel: str, case: Case) -> bool:
    """Return whether the kernel computes a loss.

    Raises:
        ValueError: `kernel` is none of `KERNELS`, or `triton` cannot run or fails its trial.
    """
    reason = _reason_for_torch(kernel, case)
    if reason and kernel == "triton":
        raise ValueError(f"--kd-kernel triton: {reason}")
    return reason is None


def describe(kernel: str, case: Case) -> str:
    """Say what computes a loss, with the kernel's block, or why PyTorch does."""
    reason = _reason_for_torch(kernel, case)
    if reason:
        return f"PyTorch ({reason})"
    from .triton_chunk import block_of

    block = block_of(case.vocab)
    how = ", interpreted" if is_interpreted() else ""
    return f"Triton kernel ({block.size} tokens per block, {block.warps} warps{how})"


def _reason_for_torch(kernel: str, case: Case) -> str | None:
    """Return why PyTorch computes a loss, None if the kernel does."""
    if kernel not in KERNELS:
        raise ValueError(f"kernel {kernel!r}: expected one of {', '.join(KERNELS)}")
    if kernel == "torch":
        return "--kd-kernel torch"
    if kernel == "auto" and case.device.type != "cuda":
        return "the Triton kernel needs CUDA"
    return _problem(case)


@cache
def _problem(case: Case) -> str | None:
    """Return why the kernel cannot compute a loss; warn if it should and failed."""
    problem = triton_problem(case.device, case.dtype_s)
    if problem is None and case.dtype_t is not None:
        problem = triton_problem(case.device, case.dtype_t)
    if problem:
        return problem
    try:
        problem = _trial(case)
    except Exception as error:  # of Triton's compiler or launcher: any
        problem = f"fails: {type(error).__name__}: {str(error).strip().splitlines()[0]}"
    if problem:
        logger.warning(f"the Triton kernel of the distillation loss {problem}; PyTorch instead")
    return problem


def _trial(case: Case) -> str | None:
    """Compare the kernel with PyTorch on random logits; return the difference if it is large."""
    from .triton_chunk import block_of, gradient_scale, triton_chunk_loss

    generator = torch.Generator().manual_seed(1)
    vocab = min(case.vocab, 2 * block_of(case.vocab).size + 3)
    logits = (3 * torch.randn(2, ROWS, vocab, generator=generator)).to(case.device)
    logits_s, logits_t = logits[0].to(case.dtype_s), logits[1].to(case.dtype_t or torch.float32)
    settings = LossSettings(0.5, case.temperature, divergence=case.divergence)
    labels = Labels(torch.arange(ROWS, device=case.device) % vocab, None)
    top_k = None
    if case.dtype_t is None:
        probs = (logits_t / case.temperature).softmax(-1)
        values, ids = probs.topk(min(TOP_K, vocab - 1))
        top_k = ids, torch.cat([values, 1 - values.sum(-1, keepdim=True)], -1).log()
    exact = (logits_s.double(), logits_t.double(), torch.empty_like(logits_s, dtype=torch.double))
    expected, gradient = chunk_loss(exact, top_k, labels, settings)
    observed = triton_chunk_loss(logits_s, logits_t if top_k is None else top_k, labels, settings)
    scaled = logits_s.double() / gradient_scale(case.dtype_s, settings)
    pairs = [(scaled, gradient), (observed.kd, expected.kd), (observed.nll, expected.nll)]
    for name, (a, b), limit in zip(
        ("gradient", "soft loss", "nll"), pairs, (TOLERANCE[case.dtype_s], 1e-4, 1e-4), strict=True
    ):
        difference = float((a.double() - b).abs().max() / b.abs().max().clamp_min(1e-3))
        if not difference <= limit:
            return f"differs from PyTorch: {name} by {difference:.1e}, expected {limit:.0e} or less"
    return None
