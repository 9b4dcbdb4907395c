"""What all of `lightpaff benchmark` share: flags of a run, their check, the JSON file."""

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import torch

from ..benchmark.timing import CLOCKS


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
    if args.json and not args.json.absolute().parent.is_dir():
        raise ValueError(f"--json {args.json}: the folder {args.json.parent} does not exist")
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


def write_json(report: dict[str, Any], path: Path | None) -> None:
    """Writes the results under a temporary name, then renames it; None: nowhere."""
    if path:
        temporary = path.with_name(f"{path.name}.tmp")
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
