"""`lightpaff benchmark inference`: its flags, and trained or random models behind them."""

import argparse
import logging
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..benchmark.inference_backends import BACKENDS
from ..benchmark.inference_benchmark import InferenceProblem, benchmark_inference
from ..benchmark.inference_table import inference_table
from ..benchmark.random_models import TASK_FLAGS, write_random_data, write_random_model
from ..benchmark.synthetic_data import SPLIT
from ..export.engines import Search
from ..export.loaded_model import LANGUAGE_MODELING, TRANSLATION, inspect_checkpoint

SMALLEST_VOCAB = 16
NEEDED = {True: ("teacher_arch", "student_arch"), False: ("teacher", "student", "data")}  # --random


def add_parser(kinds: Any) -> argparse.ArgumentParser:
    """Registers `inference`; `func` is set by the caller."""
    parser: argparse.ArgumentParser = kinds.add_parser(
        "inference",
        help="teacher and student in fairseq, CTranslate2 and ONNX Runtime",
        description="Exports both models, compares the exports with fairseq, and measures in one "
        "run, interleaved: parameters, size, load time, latency of single sentences, throughput, "
        "peak memory and quality (BLEU is against the split's own target). Translations are beam "
        "searches, language models score text. The models are trained ones (--teacher, --student, "
        "--data), or, with --random, untrained ones of any size on random text, for speed alone.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    for side in ("teacher", "student"):
        text = f"fairseq checkpoint of the {side}; its size is taken as it is: strip it first"
        add(f"--{side}", type=Path, metavar="FILE", help=text)
    add("--data", type=Path, metavar="DIR", help="binarized data of both")
    add("--gen-subset", default="test", metavar="SPLIT", help="split of --data")
    add("--task", default=TRANSLATION, choices=tuple(TASK_FLAGS), help="of both models")
    add("--sentences", type=int, default=500, metavar="N", help="of the split; 0 = all")
    text = "of them one by one, for latency"
    add("--latency-sentences", type=int, default=50, metavar="N", help=text)
    add("--batch", type=int, default=64, metavar="N", help="sentences at a time, for throughput")
    add("--beam", type=int, default=5, metavar="N", help="beam size of translation")
    text = "what runs the models (none: all that can; fairseq always)"
    add("--backends", nargs="+", default=[], choices=tuple(BACKENDS), help=text)
    add("--remove-bpe", metavar="KIND", help="for BLEU, as fairseq's (None: by the dictionary)")
    text = "also peak memory (default: not; a fresh process a variant)"
    add("--memory", action="store_true", help=text)
    _add_random(parser)
    return parser


def _add_random(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("random models")
    group.add_argument("--random", action="store_true", help="measure untrained models")
    for side in ("teacher", "student"):
        text = "as one word: an architecture, and model flags behind it"
        group.add_argument(f"--{side}-arch", metavar="WORDS", help=text)
    sizes = {"--vocab": (32000, "symbols of the vocabulary")}
    sizes["--length"] = (32, "tokens of a sentence, and of its translation")
    for flag, (default, text) in sizes.items():
        group.add_argument(flag, type=int, default=default, metavar="N", help=text)


def measure(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Measures; what is written as JSON, and the table.

    Raises:
        ValueError: a flag's value, a file or a model cannot be used.
    """
    logging.getLogger().setLevel(logging.WARNING)  # fairseq reports every model it builds
    _check(args)
    with TemporaryDirectory() as folder:
        exports = Path(folder) / "exports"
        exports.mkdir()
        problem = _random_problem(args, Path(folder)) if args.random else _problem(args)
        for flag, path in (("--student", problem.student), ("--teacher", problem.teacher)):
            found = inspect_checkpoint(path, flag).task
            if found != args.task:
                raise ValueError(f"--task {args.task}: {flag} {path} is of {found}")
        rows = benchmark_inference(problem, exports)
    blocks = "blocks of text" if args.task == LANGUAGE_MODELING else "sentences"
    report = {
        **asdict(problem),
        "task": args.task,
        "asked": f"{problem.sentences or 'all'} {blocks} of {problem.data}, {problem.subset}",
        "single": blocks,
        "beam": args.beam,
    }
    if args.random:
        words = f"teacher {args.teacher_arch}, student {args.student_arch}, {args.vocab} symbols"
        report["asked"] = f"{words}, {args.sentences} random {blocks} of {args.length} tokens"
    for name in ("teacher", "student", "data"):
        report[name] = str(report[name])
    return report | {"rows": rows}, inference_table(report | _threads(), rows)


def _threads() -> dict[str, int]:
    import torch

    return {"threads": torch.get_num_threads()}


def _check(args: argparse.Namespace) -> None:
    problems, mode = [], "with" if args.random else "without"
    for random, names in NEEDED.items():
        text = "is needed" if random == args.random else "has no effect"
        problems += [
            f"--{name.replace('_', '-')}: {text} {mode} --random"
            for name in names
            if (getattr(args, name) is None) == (random == args.random)
        ]
    for side in () if args.random else ("teacher", "student"):
        path = getattr(args, side)
        if path is not None and not path.is_file():
            problems.append(f"--{side} {path}: no such file (expected a fairseq checkpoint)")
    least = {"vocab": SMALLEST_VOCAB, "length": 2, "sentences": 1} if args.random else {}
    for name, low in least.items():
        if getattr(args, name) < low:
            problems.append(f"--{name}: expected {low} or more, found {getattr(args, name)}")
    if problems:
        raise ValueError("; ".join(problems))


def _problem(args: argparse.Namespace) -> InferenceProblem:
    return InferenceProblem(
        teacher=args.teacher,
        student=args.student,
        data=args.data,
        subset=args.gen_subset,
        sentences=args.sentences,
        latency_sentences=args.latency_sentences,
        batch=args.batch,
        search=Search(beam=args.beam),
        device=args.device,
        backends=tuple(args.backends),
        repeats=args.repeats,
        memory=args.memory,
        remove_bpe=args.remove_bpe,
    )


def _random_problem(args: argparse.Namespace, folder: Path) -> InferenceProblem:
    """Untrained models write outputs of the given length, or they would never end."""
    data = folder / "data"
    data.mkdir()
    sizes = {name: getattr(args, name) for name in ("vocab", "sentences", "length")}
    write_random_data(data, args.task, sizes)
    paths = {}
    for side in ("teacher", "student"):
        words = getattr(args, f"{side}_arch")
        path = folder / f"{side}.pt"
        paths[side] = write_random_model(path, data, args.task, f"--{side}-arch", words)
    args.teacher, args.student, args.data, args.gen_subset = *paths.values(), data, SPLIT
    search = Search(args.beam, longest=args.length, shortest=args.length)
    return replace(_problem(args), search=search, quality=False)
