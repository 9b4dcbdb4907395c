"""Measure the peak memory that a computation takes on top of its inputs."""

import ctypes
import gc
import logging
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc(5): resets the peak resident set size to the current one

# (settings, name, small) -> a function without arguments whose inputs are allocated already.
# `small`: of negligible size, to load the same code as a warm-up.
Factory = Callable[[Any, str, bool], Callable[[], Any]]


def peak_extra_bytes(make: Factory, settings: Any, name: str, device: str) -> int | None:
    """Return the peak memory of one computation on top of its inputs.

    On the CPU it runs in a fresh process, since freed memory of earlier work would hide the peak.

    Args:
        make: a module-level function (it is pickled for another process).
        settings, name: the first arguments of `make`.
        device: `cpu` or `cuda`.
    Returns:
        bytes, or None if unknown (a CPU without Linux's /proc).
    """
    if device == "cuda":
        return _peak_on_gpu(make, settings, name)
    if not CLEAR.exists():
        return None
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        arguments = make, settings, name, torch.get_num_threads()
        return pool.submit(_peak_in_this_process, *arguments).result()


def _peak_on_gpu(make: Factory, settings: Any, name: str) -> int:
    make(settings, name, True)()
    return gpu_peak(make(settings, name, False))


def gpu_peak(run: Callable[[], Any]) -> int:
    """Return the peak bytes of PyTorch on the GPU in a computation, above those before it."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _peak_in_this_process(make: Factory, settings: Any, name: str, threads: int) -> int | None:
    torch.set_num_threads(threads)
    logging.getLogger().setLevel(logging.WARNING)  # fairseq sets the root logger to DEBUG
    make(settings, name, True)()
    run = make(settings, name, False)
    _return_freed_memory()
    try:
        CLEAR.write_text(RESET_PEAK)
    except OSError:
        return None
    before = _status_bytes("VmRSS")
    run()
    return max(0, _status_bytes("VmHWM") - before)


def _return_freed_memory() -> None:
    """Return freed memory to the system, so that a computation that reuses it is counted."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status_bytes(key: str) -> int:
    """Return an entry of /proc/self/status (in kB there) in bytes."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{STATUS} of process {os.getpid()} has no line {key}")
