"""`lightpaff doctor`: print versions, devices and problems of an installation."""

import argparse
import logging
import platform

import torch

from .. import __version__
from ..doctor.devices import device_problems, devices, kernels, precisions
from ..doctor.packages import NEEDED, OPTIONAL, package_problems
from ..doctor.plugin import PACKAGE, change_lines, plugin_problems
from ..provenance import version

UNHEALTHY = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the sub-command to its parser."""
    parser.description = (
        "Print versions, devices and their supported precisions, the fused kernels that fairseq "
        "uses, and the plug-in's changes to fairseq; then all problems and their remedies. The "
        "exit code is 1 if there is a problem."
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; return 1 if there is a problem, else 0."""
    logging.getLogger().setLevel(logging.ERROR)
    print(f"lightpaff_fairseq {__version__} in {PACKAGE}")
    print(f"python {platform.python_version()}, {platform.machine()}")
    for name in NEEDED:
        print(f"{name:16} {version(name) or 'missing'}")
    for name, use in OPTIONAL.items():
        print(f"{name:16} {version(name) or f'not installed (for {use})'}")
    for device in devices():
        print(_device_line(device))
    for kernel in kernels():
        log = f' (the training log says "{kernel.log}")' if kernel.log else ""
        print(f"fused {kernel.name}: {kernel.state}{log}")
    print(*change_lines(), sep="\n")
    problems = package_problems()
    problems.extend(device_problems())
    problems.extend(plugin_problems())
    for message in problems.messages:
        print(f"PROBLEM: {message}")
    print(f"{len(problems.messages)} problems" if problems else "nothing is wrong")
    return UNHEALTHY if problems else 0


def _device_line(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    states = ", ".join(f"{dtype} {state}" for dtype, state in precisions(device).items())
    return f"device {device} {name}{threads}: {states}"
