"""What all of `lightpaff benchmark` share: flags of a run, their check, the JSON file."""

import argparse
import platform
from pathlib import Path
from typing import Any

import torch

from ..benchmark.timing import CLOCKS
from ..checkpoints.output_file import file_problem, write_json


def add_common(parser: argparse.ArgumentParser, sizes: dict[str, tuple[int, str]]) -> None:
    """Flags of every measurement, after the sizes that are its own."""
    common = {
        "--chunk-tokens": (512, "positions a chunk, as --kd-chunk-tokens"),
        "--repeats": (5, "rounds of timing"),
    }
    add_run(parser, {**sizes, **common})
    text = "wall, or cpu: the time that this process was given, all threads together, for machines "
    text += "with other jobs"
    parser.add_argument("--clock", default="wall", choices=CLOCKS, help=text)


def add_run(parser: argparse.ArgumentParser, sizes: dict[str, tuple[int, str]]) -> None:
    """Sizes, and where to run and write."""
    for flag, (default, text) in sizes.items():
        parser.add_argument(flag, type=int, default=default, metavar="N", help=text)
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (None: PyTorch's)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")


def prepare(args: argparse.Namespace) -> None:
    """Checks the flags of every measurement and sets the number of threads.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    problem = file_problem(args.json, "--json", overwrite=True) if args.json else None
    if problem:
        raise ValueError(problem)
    if args.threads is not None and args.threads < 1:
        raise ValueError(f"--threads: expected 1 or more, found {args.threads}")
    if args.repeats < 1:
        raise ValueError(f"--repeats: expected 1 or more, found {args.repeats}")
    if args.clock == "cpu" and args.device != "cpu":
        raise ValueError(f"--clock cpu: does not see what --device {args.device} does")
    if args.threads:
        torch.set_num_threads(args.threads)


def machine() -> dict[str, Any]:
    """What a report says of where it was measured."""
    return {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def write_report(args: argparse.Namespace, report: dict[str, Any]) -> None:
    """Writes the results to --json, if that was given."""
    if args.json:
        write_json(args.json, report, "--json")
