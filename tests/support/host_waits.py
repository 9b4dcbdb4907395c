"""Find what would make this process wait for a GPU, in a step that runs on the CPU.

Two modes see every operation: values that Python asks for (`bool`, `item`, `tolist`, `cpu`),
tensors that it makes of numbers on a device, and operations whose shape depends on values.
"""

import sys
from contextlib import contextmanager
from pathlib import Path

import fairseq
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

FAIRSEQ, TORCH = (str(Path(module.__file__).parent) for module in (fairseq, torch))
ASKING = {"__bool__", "__int__", "__float__", "__index__", "item", "tolist", "numpy", "cpu"}
ASKING |= {"new_tensor", "tensor", "as_tensor"}
SHAPED_BY_VALUES = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique",
    "equal",
    "bincount",
)
INDEXED = ("index.Tensor", "index_put", "index_put_")


def caller():
    """File and line of the innermost frame outside of PyTorch and this file."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith((TORCH, __file__)):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


class Asked(TorchFunctionMode):
    def __init__(self, found):
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in ASKING:
            self.found.append((name, *caller()))
        return func(*args, **(kwargs or {}))


class Dispatched(TorchDispatchMode):
    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func).removeprefix("aten.")
        indices = args[1] if name.startswith(INDEXED) else ()
        by_mask = any(x is not None and x.dtype in (torch.bool, torch.uint8) for x in indices)
        if by_mask or name.split(".")[0] in SHAPED_BY_VALUES:
            self.found.append((name, *caller()))
        return func(*args, **(kwargs or {}))


@contextmanager
def host_waits():
    """A list that fills with `(operation, file, line)` of code outside of fairseq's own."""
    everything, found = [], []
    with Asked(everything), Dispatched(everything):
        yield found
    found += [wait for wait in everything if not wait[1].startswith(FAIRSEQ)]
