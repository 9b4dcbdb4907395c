"""Repairs of fairseq 0.12 for current Python, PyTorch and numpy; applied by importing the plug-in.

Each repairs one fault, names fairseq's issue where there is one, does nothing where the fault is
gone, and can be deleted alone. None changes what a correct run computes. `lightpaff doctor` lists
them.
"""

import fairseq  # noqa: F401  # registers the plug-in first, whichever module is imported

from .repairs import REPAIRS, apply

__all__ = ["REPAIRS", "apply"]
