"""`lightpaff benchmark`: speed and memory, measured on this machine."""

import argparse
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..benchmark.loss import DTYPES, LossProblem, Row, benchmark_loss


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers the sub-command and what it can measure."""
    parser = subparsers.add_parser("benchmark", help="measure speed and memory on this machine")
    kinds = parser.add_subparsers(metavar="WHAT", dest="what", required=True)
    loss = kinds.add_parser(
        "loss",
        help="the fused loss, the dense one, and their matrix products alone",
        description="Times the distillation loss, forward and backward: its matrix products alone "
        "(floor), fused in chunks, and dense; interleaved in one run, since machines change "
        "speed. Prints medians of the times, of the ratios to the floor within a round, and peak "
        "memory above the inputs. The default sizes take one to three minutes on two cores.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    sizes = {
        "--tokens": (2048, "positions"),
        "--vocab": (32000, "symbols of the vocabulary"),
        "--student-dim": (512, "width of the student's last layer"),
        "--teacher-dim": (1024, "width of the teacher's last layer"),
        "--chunk-tokens": (256, "positions a chunk, as --kd-chunk-tokens"),
        "--repeats": (5, "rounds of timing"),
    }
    for flag, (default, text) in sizes.items():
        loss.add_argument(flag, type=int, default=default, metavar="N", help=text)
    loss.add_argument("--threads", type=int, metavar="N", help="CPU threads (None: PyTorch's)")
    loss.add_argument("--dtype", default=DTYPES[0], choices=DTYPES, help="of states and weights")
    loss.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to run")
    loss.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    loss.set_defaults(func=run_loss)


def run_loss(args: argparse.Namespace) -> int:
    """Measures, prints the table and writes the JSON file.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    if args.json and not args.json.absolute().parent.is_dir():
        raise ValueError(f"--json {args.json}: the folder {args.json.parent} does not exist")
    if args.threads is not None and args.threads < 1:
        raise ValueError(f"--threads: expected 1 or more, found {args.threads}")
    if args.repeats < 1:
        raise ValueError(f"--repeats: expected 1 or more, found {args.repeats}")
    if args.threads:
        torch.set_num_threads(args.threads)
    problem = LossProblem(**{name: getattr(args, name) for name in LossProblem.__annotations__})
    rows, agreement = benchmark_loss(problem, args.repeats)
    report = {
        **asdict(problem),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "fused_minus_dense": agreement,
        "rows": [asdict(row) for row in rows],
    }
    print(table(report, rows))
    if args.json:
        temporary = args.json.with_name(f"{args.json.name}.tmp")
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        temporary.replace(args.json)
    return 0


def table(report: dict[str, Any], rows: list[Row]) -> str:
    """The results as text, a line a variant, with what was measured above and a summary below."""
    lines = [
        "{tokens} positions, {vocab} symbols, student {student_dim}, teacher {teacher_dim}, "
        "{dtype}, chunks of {chunk_tokens}, {device}, {threads} threads".format(**report),
        f"{'':8} {'seconds':>8} {'x floor':>8} {'extra MB':>9}",
    ]
    for row in rows:
        extra = "unknown" if row.extra_mb is None else f"{row.extra_mb:.0f}"
        lines.append(f"{row.name:8} {row.seconds:8.3f} {row.ratio_to_floor:8.2f} {extra:>9}")
    worst = max(report["fused_minus_dense"].values())
    lines += [
        f"seconds, x floor: forward and backward, medians of {len(rows[0].all_seconds)} rounds",
        "extra MB: peak memory above the inputs, gradients included",
        f"fused and dense agree to {worst:.1e} (relative difference of loss and gradients)",
    ]
    return "\n".join(lines)
