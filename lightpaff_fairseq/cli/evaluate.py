"""`lightpaff evaluate`: quality, size and speed of checkpoints, side by side."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..evaluation.comparison import Scored, compare, p_value
from ..evaluation.results import ModelFile, Row, write_json
from ..evaluation.table import format_table
from ..evaluation.translation import (
    COLUMNS,
    TranslationSettings,
    evaluate_translation,
    read_references,
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers the sub-command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="compare checkpoints: BLEU, chrF, parameters, file size, speed",
        description="Runs fairseq-generate with each checkpoint and prints one table. Ratios are "
        "relative to the first checkpoint (the teacher).",
    )
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="binarised data, as for fairseq-generate")
    add("--path", nargs="+", required=True, type=Path, metavar="FILE", help="fairseq checkpoints")
    add("--name", nargs="+", metavar="NAME", help="names of the rows (default: the files' names)")
    add(
        "--references", required=True, type=Path, metavar="FILE", help="raw text, a line a sentence"
    )
    add("--out", type=Path, metavar="FILE", help="also write the rows as JSON here")
    add(
        "--task",
        default="translation",
        choices=("translation",),
        help="kind of the models (default: %(default)s)",
    )
    add(
        "--gen-subset",
        default="test",
        metavar="SPLIT",
        help="split to translate (default: %(default)s)",
    )
    add("--beam", type=int, default=5, metavar="N", help="beam size (default: %(default)s)")
    add(
        "--max-tokens",
        type=int,
        default=4000,
        metavar="N",
        help="source tokens a batch (default: %(default)s)",
    )
    add(
        "--remove-bpe",
        default="sentencepiece",
        metavar="KIND",
        help="as fairseq's (default: %(default)s); none = off",
    )
    add("--generate-flags", default="", metavar="TEXT", help='more, as "--lenpen 0.6 --cpu"')
    add(
        "--repeats",
        type=int,
        default=3,
        metavar="N",
        help="runs a model (default: %(default)s); speed is the median",
    )
    add("--compare", nargs=2, metavar="NAME", help="say what the second gained over the first")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Evaluates, prints the table and writes the JSON file.

    Raises:
        ValueError: bad flags or files, see `check` and `evaluate_translation`.
    """
    models = check(args)
    flags = ["--beam", str(args.beam), "--max-tokens", str(args.max_tokens)]
    if args.remove_bpe != "none":
        flags += ["--remove-bpe", args.remove_bpe]
    flags += shlex.split(args.generate_flags)
    settings = TranslationSettings(args.data, args.references, args.gen_subset, tuple(flags))
    rows, hypotheses = evaluate_translation(models, settings, args.repeats)
    print(format_table(rows, COLUMNS))
    print(f"BLEU {rows[0]['bleu_signature']}; chrF {rows[0]['chrf_signature']}")
    if args.compare:
        print(comparison(rows, hypotheses, args))
    if args.out:
        write_json(rows, args.out)
    return 0


def check(args: argparse.Namespace) -> list[ModelFile]:
    """The models to measure.

    Raises:
        ValueError: lists all values that cannot be right.
    """
    names = args.name or [path.stem for path in args.path]
    problems = [
        f"{flag}: expected 1 or more, found {value}"
        for flag, value in (("--beam", args.beam), ("--repeats", args.repeats))
        if value < 1
    ]
    if len(names) != len(args.path):
        problems.append(f"--name: expected {len(args.path)} names, as --path, found {len(names)}")
    if len(set(names)) != len(names):
        problems.append(f"--name: expected different names, found {' '.join(names)}")
    unknown = [name for name in args.compare or [] if name not in names]
    if unknown:
        problems.append(f"--compare: expected names out of {names}, found {unknown}")
    if not args.data.is_dir():
        problems.append(f"DATA {args.data}: expected a folder of binarised data, found none")
    problems += [f"--path {path}: no such file" for path in args.path if not path.is_file()]
    if problems:
        raise ValueError("; ".join(problems))
    return [ModelFile(name, path) for name, path in zip(names, args.path, strict=True)]


def comparison(
    rows: Sequence[Row], hypotheses: Sequence[Sequence[str]], args: argparse.Namespace
) -> str:
    """The sentence for `--compare`."""
    scored = {
        row["name"]: Scored(row["name"], row["bleu"], row["chrf"], texts)
        for row, texts in zip(rows, hypotheses, strict=True)
    }
    first, second = (scored[name] for name in args.compare)
    p = p_value(first, second, read_references(args.references))
    return compare(first, second, scored[rows[0]["name"]], p)
