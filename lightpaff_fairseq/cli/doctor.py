"""`lightpaff doctor`: what is installed, what is used, what is wrong."""

import argparse
import logging
import platform

import torch

from .. import __version__
from ..doctor.devices import device_problems, devices, kernels, precisions
from ..doctor.packages import NEEDED, OPTIONAL, package_problems, version
from ..doctor.plugin import PACKAGE, plugin_problems

UNHEALTHY = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Prints versions, devices, the precisions that work on them, and which fused "
        "kernels fairseq takes; then what is wrong and what to do. Exit code 1 if anything is."
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Prints the report; 0 if nothing is wrong, else 1."""
    logging.getLogger().setLevel(logging.ERROR)
    print(f"lightpaff_fairseq {__version__} in {PACKAGE}")
    print(f"python {platform.python_version()}, {platform.machine()}")
    for name in NEEDED:
        print(f"{name:16} {version(name) or 'missing'}")
    for name, use in OPTIONAL.items():
        print(f"{name:16} {version(name) or f'not installed (for {use})'}")
    for device in devices():
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
        states = ", ".join(f"{kind} {state}" for kind, state in precisions(device).items())
        threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
        print(f"device {device} {name}{threads}: {states}")
    for kernel in kernels():
        shown = f' (the training log says "{kernel.log}")' if kernel.log else ""
        print(f"fused {kernel.name}: {kernel.state}{shown}")
    problems = [*package_problems(), *device_problems(), *plugin_problems()]
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print(f"{len(problems)} problems" if problems else "nothing is wrong")
    return UNHEALTHY if problems else 0
