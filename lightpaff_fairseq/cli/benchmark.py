"""`lightpaff benchmark`: speed and memory, measured on this machine."""

import argparse
import json
import logging
import platform
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from ..benchmark.cache import benchmark_cache
from ..benchmark.curves import (
    AXES,
    Over,
    as_json,
    benchmark_curves,
    curves_table,
    parse_over,
    pyplot,
    write_plot,
)
from ..benchmark.families import FAMILIES
from ..benchmark.loss import benchmark_loss
from ..benchmark.peers import PEERS
from ..benchmark.problem import DTYPES, LossProblem
from ..benchmark.step import StepProblem, benchmark_step
from ..benchmark.step_memory import step_memory
from ..benchmark.tables import cache_table, problem_line, step_table, table
from ..benchmark.timing import CLOCKS

PLOT_SUFFIXES = (".svg", ".png", ".pdf")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers the sub-command and what it can measure."""
    parser = subparsers.add_parser("benchmark", help="measure speed and memory on this machine")
    kinds = parser.add_subparsers(metavar="WHAT", dest="what", required=True)
    _add_loss(kinds)
    _add_step(kinds)
    _add_cache(kinds)


def _add_loss(kinds: Any) -> None:
    loss = kinds.add_parser(
        "loss",
        help="the fused loss, the dense one, and their matrix products alone",
        description="Times the distillation loss, forward and backward: its matrix products alone "
        "(floor), fused in chunks, the same from a top-k cache (no teacher's product), dense, and "
        "other libraries'; interleaved in one run, since machines change speed. Prints medians of "
        "the times, of the ratios to the floor within a round, and peak memory above the inputs. "
        "The default sizes take one to three minutes on two cores.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    sizes = {
        "--tokens": (2048, "positions"),
        "--vocab": (32000, "symbols of the vocabulary"),
        "--student-dim": (512, "width of the student's last layer"),
        "--teacher-dim": (1024, "width of the teacher's last layer"),
        "--topk": (32, "symbols a position of the cached teacher"),
    }
    loss.add_argument("--divergence", default="forward_kl", help="as --kd-divergence")
    loss.add_argument("--beta", default=0.5, type=float, help="as --kd-beta")
    text = "other libraries' losses, where installed (extra bench)"
    loss.add_argument("--peers", nargs="+", default=[], choices=PEERS, help=text)
    loss.add_argument("--dtype", default=DTYPES[0], choices=DTYPES, help="of states and weights")
    text = f"one of {', '.join(AXES)} and its values, as vocab 8000 32000: measures at each; "
    text += "again for more sizes"
    loss.add_argument("--over", nargs="+", action="append", default=[], metavar="SIZE", help=text)
    text = "with --over: draw the curves (.svg, .png, .pdf; extra plots)"
    loss.add_argument("--plot", type=Path, metavar="FILE", help=text)
    _add_common(loss, sizes)
    loss.set_defaults(func=run_loss)


def _add_step(kinds: Any) -> None:
    step = kinds.add_parser(
        "step",
        help="a training update with distillation, a plain one, and the teacher alone",
        description="Times a whole update of fairseq's trainer on random text: the student's plain "
        "one (stock criterion), the teacher's forward pass alone, and the update with "
        "distillation, from the teacher and from a top-k cache; interleaved in one run, since "
        "machines change speed. Prints medians of the times, and of kd / (plain + teacher) and "
        "cached / plain within a round. The default sizes take one to three minutes on one core.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    step.add_argument(
        "--more",
        default="",
        metavar="FLAGS",
        help="as one word, --kd-... flags of one more variant, to compare with plain distillation",
    )
    step.add_argument(
        "--prune",
        type=float,
        default=0.0,
        metavar="RATIO",
        help="one more variant: the same in a prunable task, whose target is this part of the "
        "width; 0 = off",
    )
    step.add_argument(
        "--memory",
        action="store_true",
        help="also the peak memory of a first update (default: not; a fresh process a variant)",
    )
    _add_models(step)
    step.set_defaults(func=run_step)


def _add_cache(kinds: Any) -> None:
    cache = kinds.add_parser(
        "cache",
        help="building and reading a teacher's cache",
        description="Times, for one batch of random text, building a cache (forward pass, top-k, "
        "writing to disk) against the teacher's forward pass alone, and reading it back against a "
        "plain update; prints the size of a position.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_models(cache)
    cache.set_defaults(func=run_cache, more="", prune=0.0)


def _add_models(parser: argparse.ArgumentParser) -> None:
    """Flags of measurements on whole models."""
    parser.add_argument("--family", required=True, choices=FAMILIES, help="kind of model")
    for side in ("student", "teacher"):
        parser.add_argument(
            f"--{side}",
            metavar="FLAGS",
            help=f"fairseq-train's model flags, as one word: '--arch ...' (None: a {side} of "
            "moderate size, the teacher 5 to 7 times larger)",
        )
    sizes = {
        "--vocab": (8192, "symbols of the vocabulary"),
        "--sentences": (16, "sentences of the batch"),
        "--length": (64, "tokens of a sentence"),
        "--topk": (32, "symbols a position of the cached teacher"),
    }
    _add_common(parser, sizes)


def _add_common(parser: argparse.ArgumentParser, sizes: dict[str, tuple[int, str]]) -> None:
    """Flags of every measurement, after the sizes that are its own."""
    common = {
        "--chunk-tokens": (512, "positions a chunk, as --kd-chunk-tokens"),
        "--repeats": (5, "rounds of timing"),
    }
    for flag, (default, text) in {**sizes, **common}.items():
        parser.add_argument(flag, type=int, default=default, metavar="N", help=text)
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (None: PyTorch's)")
    text = "wall, or cpu: the time that this process was given, all threads together, for machines "
    text += "with other jobs"
    parser.add_argument("--clock", default="wall", choices=CLOCKS, help=text)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")


def _prepare(args: argparse.Namespace) -> None:
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


def _machine() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def _write(report: dict[str, Any], path: Path | None) -> None:
    if path:
        temporary = path.with_name(f"{path.name}.tmp")
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)


def run_loss(args: argparse.Namespace) -> int:
    """Measures, prints the table and writes the JSON file.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    _prepare(args)
    overs = parse_over(args.over)
    _check_plot(args.plot, overs)
    problem = LossProblem(**{name: getattr(args, name) for name in LossProblem.__annotations__})
    if overs:
        return _run_curves(problem, overs, args)
    rows, agreement = benchmark_loss(problem, args.repeats, args.peers)
    results = {"minus_dense": agreement, "rows": [asdict(row) for row in rows]}
    report = {**asdict(problem), **_machine(), **results}
    print(table(report, rows))
    _write(report, args.json)
    return 0


def _check_plot(path: Path | None, overs: list[Over]) -> None:
    if path is None:
        return
    if not overs:
        raise ValueError(f"--plot {path}: expected --over, which says what the curves are over")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"--plot {path}: the folder {path.parent} does not exist")
    if path.suffix not in PLOT_SUFFIXES:
        raise ValueError(
            f"--plot {path}: expected a name that ends in {' or '.join(PLOT_SUFFIXES)}"
        )
    pyplot()


def _run_curves(problem: LossProblem, overs: list[Over], args: argparse.Namespace) -> int:
    curves = benchmark_curves(problem, overs, args.repeats, args.peers)
    report = {**asdict(problem), **_machine()}
    title = problem_line(report)
    print(f"{title}\n{curves_table(curves)}\nmedians of {args.repeats} rounds")
    _write({**report, "curves": as_json(curves)}, args.json)
    if args.plot:
        write_plot(curves, title, args.plot)
    return 0


def run_step(args: argparse.Namespace) -> int:
    """Measures, prints the table and writes the JSON file.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    problem = _step_problem(args)
    result = benchmark_step(problem, args.repeats)
    report = {**asdict(problem), **_machine(), **asdict(result)}
    report["extra_mb"] = step_memory(problem, result.seconds) if args.memory else {}
    print(step_table(report, result))
    _write(report, args.json)
    return 0


def run_cache(args: argparse.Namespace) -> int:
    """Measures, prints the table and writes the JSON file.

    Raises:
        ValueError: a flag's value cannot be used.
    """
    problem = _step_problem(args)
    result = benchmark_cache(problem, args.repeats)
    report = {**asdict(problem), **_machine(), **asdict(result)}
    print(cache_table(report, result))
    _write(report, args.json)
    return 0


def _step_problem(args: argparse.Namespace) -> StepProblem:
    _prepare(args)
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    for side in ("student", "teacher"):
        if getattr(args, side) is None:
            setattr(args, side, getattr(FAMILIES[args.family], side))
    return StepProblem(**{field.name: getattr(args, field.name) for field in fields(StepProblem)})
